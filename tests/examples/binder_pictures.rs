//! Takes the pictures of the binder's page in the documentation: starts a binder and a shop, waits for
//! figures, and looks at it by day, by night and on a phone.
//!
//!     cargo run --release -p rpc-tests --example binder_pictures -- docs/images

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

#[path = "../tests/browser/driver.rs"]
mod driver;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use driver::{DESK, Driver, Look, NIGHT, PHONE};
use rpc_tests::shop::{self, Part, Shown};

/// Take pictures of the binder's page.
#[derive(Parser, Debug)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    /// The folder in which they are written.
    #[arg(default_value = "docs/images")]
    folder: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.part {
        Some(part) => shop::play(part),
        None => take(&cli.folder),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("binder_pictures: {error}");
            ExitCode::FAILURE
        }
    }
}

fn take(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let program = std::env::current_exe()?;
    let program = program.to_str().ok_or("the program's name is no text")?;
    let words = ["--listen", "udp://127.0.0.1:0", "--http", "127.0.0.1:0", "--lease", "3s"];
    let shown = Shown::start(program, &words)?;
    let mut shop = shown.shop()?;
    let driver = Driver::start()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        let desk = driver.open(Look { height: 1240, ..DESK }).await?;
        desk.client.goto(&shown.page).await?;
        // Half a minute of figures, and then one server that is gone.
        desk.until("(document.querySelector('#totals polyline')?.points.length ?? 0) > 16").await?;
        drop(shop.remove(1));
        desk.until("document.querySelectorAll('tr.expired').length === 1").await?;
        std::fs::write(folder.join("binder-page.png"), desk.client.screenshot().await?)?;
        desk.client.close().await?;
        for (name, look) in [
            ("binder-page-dark.png", Look { height: 1240, ..NIGHT }),
            ("binder-page-phone.png", Look { height: 1500, ..PHONE }),
        ] {
            let browser = driver.open(look).await?;
            browser.client.goto(&shown.page).await?;
            browser.until("document.getElementById('link').textContent === 'Live'").await?;
            std::fs::write(folder.join(name), browser.client.screenshot().await?)?;
            browser.client.close().await?;
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    println!(
        "binder-page.png, binder-page-dark.png and binder-page-phone.png are in {}",
        folder.display()
    );
    Ok(())
}
