//! The binder's page in a real browser: who comes and goes is seen without reloading, in both colour
//! schemes, on a phone's width, and by keyboard alone.
//!
//! Where there is no browser each test says that it was skipped, unless `RPC_TEST_BROWSER` is set.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

#[path = "browser/driver.rs"]
mod driver;

use std::error::Error;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rpc_tests::shop::Shown;
use serde_json::Value;

use driver::{Browser, DESK, Driver, Look, NIGHT, PHONE};

const PROGRAM: &str = env!("CARGO_BIN_EXE_binder_page");

/// Runs a story in a browser, if there is one.
fn with(story: impl AsyncFnOnce(&Driver) -> Result<(), Box<dyn Error>>) {
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let is_needed = std::env::var_os("RPC_TEST_BROWSER").is_some_and(|value| value == "1");
    let is_possible = is_there("chromium") && is_there("chromedriver");
    if !is_possible && !is_needed {
        eprintln!("skipped: no chromium and chromedriver are installed");
        return;
    }
    // One browser at a time is enough for a small machine.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let driver = Driver::start().unwrap();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    if let Err(error) = runtime.block_on(story(&driver)) {
        panic!("{error}");
    }
}

fn shown(words: &[&str]) -> Result<Shown, Box<dyn Error>> {
    let fixed = ["--listen", "udp://127.0.0.1:0", "--http", "127.0.0.1:0"];
    Shown::start(PROGRAM, &[&fixed[..], words].concat())
}

async fn look(driver: &Driver, look: Look, shown: &Shown) -> Result<Browser, Box<dyn Error>> {
    let browser = driver.open(look).await?;
    browser.client.goto(&shown.page).await?;
    browser.until("document.getElementById('link').textContent === 'Live'").await?;
    browser.run("window.isTheSame = true").await?;
    Ok(browser)
}

/// Whether a text is on the page.
fn says(text: &str) -> String {
    format!("document.body.innerText.includes({text:?})")
}

#[test]
fn a_server_comes_dies_and_vanishes_and_the_page_is_never_reloaded() {
    with(async |driver| {
        let shown = shown(&["--lease", "2s", "--show-expired", "4s"])?;
        let browser = look(driver, DESK, &shown).await?;
        browser.until(&says("Register a first server")).await?;
        let server = shown.server("ledger", &["--zone", "eu-1a", "--label", "disk=nvme"])?;
        browser.until("document.querySelectorAll('tr.live').length === 1").await?;
        for text in
            [&*server.said, "zone eu-1a", "disk = nvme", "version 3.0", "1 registration live"]
        {
            browser.until(&says(text)).await?;
        }
        assert_eq!(browser.run("return Boolean(document.getElementById('empty'))").await?, false);
        browser.until("document.querySelector('tr.live progress').value > 0").await?;

        // What is opened, and who is there, stays while the lease is renewed.
        browser
            .run("const it = document.querySelector('tr.live summary'); it.focus(); it.click()")
            .await?;
        let end = browser.run("return document.querySelector('[data-end]').dataset.end").await?;
        browser
            .until(&format!("document.querySelector('[data-end]').dataset.end !== {end}"))
            .await?;
        browser.until("document.querySelector('tr.live details').open").await?;
        browser
            .until("document.activeElement === document.querySelector('tr.live summary')")
            .await?;

        drop(server); // killed
        browser.until("document.querySelectorAll('tr.expired').length === 1").await?;
        browser.until(&says("1 expired")).await?;
        browser.until("document.querySelectorAll('tr[data-find]').length === 0").await?;
        browser.until(&says("Register a first server")).await?;
        browser.until("document.activeElement === document.getElementById('filter')").await?;
        assert_eq!(browser.run("return window.isTheSame").await?, true);
        Ok(browser.client.close().await?)
    });
}

#[test]
fn a_page_whose_binder_is_gone_says_so_and_finds_the_next_one() {
    with(async |driver| {
        let first = shown(&[])?;
        let _server = first.server("ledger", &[])?;
        let browser = look(driver, DESK, &first).await?;
        browser.until("document.querySelectorAll('tr.live').length === 1").await?;
        let place = first.page.strip_prefix("http://").unwrap().to_owned();
        drop(first);
        browser.until(&says("Connection to the binder lost, showing what was known")).await?;
        browser.until("/\\d+ s ago/.test(document.getElementById('lost').innerText)").await?;
        browser.until("document.querySelectorAll('tr.live').length === 1").await?;
        let _next = Shown::start(PROGRAM, &["--listen", "udp://127.0.0.1:0", "--http", &place])?;
        browser.until("document.getElementById('link').textContent === 'Live'").await?;
        browser.until(&says("Register a first server")).await?;
        browser.until("document.getElementById('lost').hidden").await?;
        assert_eq!(browser.run("return window.isTheSame").await?, true);
        Ok(browser.client.close().await?)
    });
}

/// Each text that can be seen with a contrast below what WCAG 2.2 asks for (1.4.3, AA), and how many
/// were measured. What is behind a text is the nearest ground that is not seen through.
const CONTRASTS: &str = r"
document.getElementById('lost').hidden = false;
const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ({ r, g, b }) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    if (at.tagName === 'svg') continue;
    const { a, ...rgb } = parse(getComputedStyle(at).backgroundColor);
    if (a === 1) return rgb;
    if (a > 0) throw new Error('seen through: ' + at.outerHTML);
  }
  throw new Error('no ground');
};
const low = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let measured = 0;
while (walker.nextNode()) {
  const node = walker.currentNode, element = node.parentElement;
  if (!node.data.trim() || !element.checkVisibility() || element.closest('desc, svg title')) continue;
  const style = getComputedStyle(element);
  const inSvg = Boolean(element.closest('svg'));
  const one = light(parse(inSvg ? style.fill : style.color)), other = light(ground(element));
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  const size = parseFloat(style.fontSize), isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  measured += 1;
  if (contrast < (isLarge ? 3 : 4.5)) low.push(`${contrast.toFixed(2)} ${node.data.trim()}`);
}
return { measured, low };";

#[test]
fn every_text_can_be_read_in_both_schemes_and_nothing_is_wider_than_a_phone() {
    with(async |driver| {
        let shown = shown(&["--lease", "3s", "--show-expired", "1m"])?;
        let mut shop = shown.shop()?;
        drop(shop.remove(0)); // one that is expired
        for scheme in [DESK, NIGHT, PHONE] {
            let browser = look(driver, scheme, &shown).await?;
            browser.until("document.querySelectorAll('tr.live').length === 5").await?;
            browser.until("document.querySelectorAll('tr.expired').length === 1").await?;
            browser
                .run("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
                .await?;
            let dark =
                browser.run("return matchMedia('(prefers-color-scheme: dark)').matches").await?;
            assert_eq!(dark, scheme.is_dark);
            let contrasts = browser.run(CONTRASTS).await?;
            assert_eq!(contrasts["low"], Value::Array(Vec::new()), "{scheme:?}");
            assert!(contrasts["measured"].as_u64().unwrap() > 100, "{contrasts}");
            let root = "document.documentElement";
            let wide =
                browser.run(&format!("return [{root}.clientWidth, {root}.scrollWidth]")).await?;
            assert_eq!(wide[0], wide[1], "{scheme:?} scrolls sideways");
            if scheme.is_phone {
                assert_eq!(wide[0], 360);
            }
            browser.client.close().await?;
        }
        Ok(())
    });
}

#[test]
fn everything_is_reached_by_the_keyboard_and_shows_that_it_is() {
    with(async |driver| {
        let shown = shown(&[])?;
        let _servers = [
            shown.server("ledger", &[])?,
            shown.server("ledger", &[])?,
            shown.server("stock", &[])?,
        ];
        let browser = look(driver, DESK, &shown).await?;
        browser.until("document.querySelectorAll('tr.live').length === 3").await?;
        let wanted = "a[href], button, input, select, textarea, summary, [tabindex=\"0\"]";
        let count = format!(
            "return [...document.querySelectorAll({wanted:?})].filter((it) => it.checkVisibility()).length"
        );
        let wanted = usize::try_from(browser.run(&count).await?.as_u64().unwrap()).unwrap();
        assert!(
            wanted >= 7,
            "the link past the top, the filter, three servers, two links: {wanted}"
        );
        let mut reached = Vec::new();
        for _ in 0..wanted {
            let body = browser.client.active_element().await?;
            body.send_keys("\u{e004}").await?; // Tab
            let focus = browser
                .run(
                    "const it = document.activeElement, style = getComputedStyle(it);
                     return { what: it.id || it.outerHTML.slice(0, 200), at: [...document.querySelectorAll('*')].indexOf(it),
                              seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
                              inside: it.getBoundingClientRect().right > 0 && it !== document.body }",
                )
                .await?;
            assert_eq!(focus["seen"], true, "{focus}");
            assert_eq!(focus["inside"], true, "{focus}");
            reached.push(focus["at"].as_u64().unwrap());
        }
        let in_order = reached.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(in_order, "each once, from above to below: {reached:?}");

        let filter = browser.client.find(fantoccini::Locator::Id("filter")).await?;
        filter.send_keys("stock").await?;
        browser.until(&says("1 of 3 shown")).await?;
        browser.until("document.getElementById('s-ledger').hidden").await?;
        Ok(browser.client.close().await?)
    });
}
