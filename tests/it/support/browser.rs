//! A real browser: Debian's Chromium, driven by its own driver, each test with a fresh profile.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{address, wait};

pub struct Browser {
    pub client: Client,
    driver: Child,
    profile: TempDir,
}

impl Browser {
    /// Starts it as wide as a phone, or wider.
    pub async fn start(width: u32, language: &str) -> Self {
        let port = address().port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed (tests/run installs it)");
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--window-size={width},900"),
            format!("--lang={language}"),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let prefs = json!({"intl.accept_languages": language});
        let options = json!({"args": arguments, "prefs": prefs, "mobileEmulation": {"deviceMetrics": {"width": width, "height": 900, "pixelRatio": 1.0}}});
        let capabilities = serde_json::Map::from_iter([("goog:chromeOptions".to_owned(), options)]);
        let client = wait("the browser", async || {
            let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
            builder.capabilities(capabilities.clone()).connect(&format!("http://127.0.0.1:{port}")).await.ok()
        })
        .await;
        Self { client, driver, profile }
    }

    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    pub async fn heading(&self) -> String {
        self.client.find(Locator::Css("h1")).await.unwrap().text().await.unwrap()
    }

    /// Presses what stays on the page: a box, a choice.
    pub async fn tick(&self, css: &str) {
        let element = self.client.find(Locator::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"));
        element.click().await.unwrap();
    }

    /// Presses what leads to another page, or to the same anew, and waits for that.
    pub async fn press(&self, css: &str) {
        self.until_the_next_page(self.tick(css)).await;
    }

    /// Enters a text with what leads to another page, or to the same anew, and waits for that.
    pub async fn enter_and_send(&self, css: &str, text: &str) {
        self.until_the_next_page(self.enter(css, &format!("{text}\u{e007}"))).await;
    }

    async fn until_the_next_page(&self, press: impl Future<Output = ()>) {
        self.client.execute("window.left = true", Vec::new()).await.unwrap();
        press.await;
        wait("the next page", async || {
            let there = "return window.left === undefined && document.readyState === 'complete'";
            (self.client.execute(there, Vec::new()).await.ok()? == Value::Bool(true)).then_some(())
        })
        .await;
    }

    pub async fn enter(&self, css: &str, text: &str) {
        self.client.find(Locator::Css(css)).await.unwrap().send_keys(text).await.unwrap();
    }

    /// What the accessibility checker finds wrong with the page as it stands, and whether it is wider than the window.
    pub async fn complaints(&self) -> Vec<String> {
        let axe = std::fs::read_to_string(axe()).expect("axe-core is there (tests/run fetches it)");
        self.client.execute(&axe, Vec::new()).await.unwrap();
        let run = "const done = arguments[arguments.length - 1];
            axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})
                .then(found => done(found.violations.map(one => one.id + ': ' + one.nodes.map(node => node.html).join(' | '))));";
        let found = self.client.execute_async(run, Vec::new()).await.unwrap();
        let mut complaints: Vec<String> = serde_json::from_value(found).unwrap();
        let wide = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        if self.client.execute(wide, Vec::new()).await.unwrap() == Value::Bool(true) {
            complaints.push("the page is wider than the window".to_owned());
        }
        complaints
    }
}

fn axe() -> PathBuf {
    // …/target/debug/deps/it-… → …/target/axe
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().join("axe/package/axe.min.js")
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // The browser outlives its driver; its own is told by its profile.
        let profile = self.profile.path().to_string_lossy().into_owned();
        for process in std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&profile) {
                let _ =
                    Command::new("kill").args(["-KILL", &process.file_name().to_string_lossy()]).stderr(Stdio::null()).status();
            }
        }
    }
}
