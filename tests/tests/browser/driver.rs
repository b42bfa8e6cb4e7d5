//! A headless Chromium, driven through its driver: Debian's `chromium` and `chromium-driver`.

#![expect(clippy::disallowed_methods, reason = "a browser is waited for in real time")]

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// How long anything is waited for on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// In CSS pixels.
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) is_dark: bool,
    /// As a phone does: the width is the page's, however narrow.
    pub(crate) is_phone: bool,
}

pub(crate) const DESK: Look = Look { width: 1280, height: 900, is_dark: false, is_phone: false };
pub(crate) const NIGHT: Look = Look { is_dark: true, ..DESK };
pub(crate) const PHONE: Look = Look { width: 360, height: 780, is_dark: false, is_phone: true };

/// How often a browser is started until it does: on a busy machine some exit at once.
const STARTS_MAX: usize = 5;
const START_PAUSE: Duration = Duration::from_secs(1);

/// The driver's process. It ends its browsers when it is asked to end.
pub(crate) struct Driver {
    child: Child,
    url: String,
}

impl Driver {
    /// Starts one, if it is installed.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub(crate) fn start() -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new("chromedriver");
        let mut child = command.arg("--port=0").stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().ok_or("it has no standard output")?;
        let mut lines = BufReader::new(out).lines();
        let said = |line: &String| line.contains("started successfully on port");
        let line = lines.by_ref().map_while(Result::ok).find(said);
        let mut driver = Self { child, url: String::new() };
        let line = line.ok_or("the driver did not say where it listens")?;
        let port: String = line.chars().filter(char::is_ascii_digit).collect();
        driver.url = format!("http://127.0.0.1:{port}");
        // What it says later nobody reads, and it must not wait for that.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(driver)
    }

    /// Opens a browser.
    ///
    /// # Errors
    ///
    /// The browser is not installed, or does not start.
    pub(crate) async fn open(&self, look: Look) -> Result<Browser, Box<dyn Error>> {
        let Look { width, height, is_dark, is_phone } = look;
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={width},{height}"),
        ];
        let scheme = if is_dark { 0 } else { 1 };
        arguments.push(format!("--blink-settings=preferredColorScheme={scheme}"));
        let mut options = json!({ "args": arguments });
        if is_phone {
            let metrics = json!({ "width": width, "height": height, "pixelRatio": 2.0 });
            options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let mut wanted = serde_json::Map::new();
        wanted.insert("goog:chromeOptions".into(), options);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let builder = builder.capabilities(wanted);
        for _ in 1..STARTS_MAX {
            if let Ok(client) = builder.connect(&self.url).await {
                return Ok(Browser { client });
            }
            tokio::time::sleep(START_PAUSE).await;
        }
        let client = builder.connect(&self.url).await?;
        Ok(Browser { client })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-s", "TERM", &id]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _gone_already = self.child.kill();
        }
        let _exit = self.child.wait();
    }
}

/// A browser with one page.
pub(crate) struct Browser {
    pub(crate) client: Client,
}

impl Browser {
    /// The value of a script's `return`.
    ///
    /// # Errors
    ///
    /// The script fails.
    pub(crate) async fn run(&self, script: &str) -> Result<Value, Box<dyn Error>> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }

    /// Waits until a condition of the page holds.
    ///
    /// # Errors
    ///
    /// It does not; with what the page shows.
    pub(crate) async fn until(&self, condition: &str) -> Result<(), Box<dyn Error>> {
        let script = format!("return Boolean({condition})");
        let pause = Duration::from_millis(50);
        for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
            if self.run(&script).await? == Value::Bool(true) {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
        }
        let shown = self.run("return document.body.innerText").await?;
        Err(format!("never: {condition}\nthe page:\n{}", shown.as_str().unwrap_or_default()).into())
    }
}
