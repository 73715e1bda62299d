//! Daemons on one PostgreSQL stand for each other: what one began any other goes on with, and together they keep to what one would.

use std::collections::BTreeSet;
use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use dcvd::adapters::clock::SystemClock;
use dcvd::adapters::credentials::one_time_password;
use dcvd::demo::smtp::Arrived;
use dcvd::ports::Clock as _;
use futures_util::stream::{self, StreamExt as _};
use reqwest::Response;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use tokio::task::spawn_blocking;

use crate::kills::{all_is_well, another, link, place, quiet, rows, see_through, settled, start};
use crate::process::Setup;
use crate::support::postgres;
use crate::support::process::{program, wait};

#[tokio::test]
async fn any_daemon_serves_what_another_began() {
    let setup = Setup::on(Some(postgres::database().await)).await;
    let text = std::fs::read_to_string(&setup.config).unwrap();
    std::fs::write(&setup.config, format!("{text}[admin]\nsign_in = true\n")).unwrap();
    let (config, other) = another(&setup, 1);
    let first = start(&setup, &setup.config, &setup.base, None).await;
    let second = start(&setup, &config, &other, None).await;

    // An order: the repeat is answered as the first time was.
    let placed = place(&setup, &setup.base, 1).await.unwrap();
    assert_eq!(placed.0, 201, "{}", placed.1);
    assert_eq!(place(&setup, &other, 1).await.unwrap(), placed);
    assert_eq!(rows(&setup, "SELECT COUNT(*), '' FROM orders").await.unwrap()[0].0, 1);

    // An answer: the page of one, the press at the other, and the receipt where the public address leads.
    let link = link(&setup, 1).await;
    let nonce = setup.nonce(&link).await.unwrap();
    let pressed = setup.press(&link.replace(&setup.base, &other), &nonce).await.unwrap();
    assert_eq!(pressed.status(), 303);
    let receipt = location(&pressed);
    assert!(receipt.starts_with(&link), "{receipt}");
    let page = setup.client.get(format!("{receipt}&lang=en")).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("Approval received"));

    // A sign-in: made at one, used and ended at the other.
    let (password, secret) = operator(&setup, "hanako").await;
    let code = one_time_password(&secret, SystemClock.now()).unwrap();
    let form = [("name", "hanako"), ("password", password.as_str()), ("code", code.as_str())];
    let signed_in = post(&setup, &setup.base, "/admin/sign-in", "", &form).await;
    assert_eq!(signed_in.status(), 303);
    let cookie = signed_in.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    let look = async |base: &str| {
        let page = setup.client.get(format!("{base}/admin")).header(COOKIE, cookie).send().await.unwrap();
        (page.status().as_u16(), location(&page))
    };
    assert_eq!(look(&setup.base).await.0, 200);
    assert_eq!(look(&other).await.0, 200);
    assert_eq!(post(&setup, &other, "/admin/sign-out", cookie, &[]).await.status(), 303);
    assert_eq!(look(&setup.base).await, (303, "/admin/sign-in?over=1".to_owned()));

    see_through(&setup, &other, 1).await;
    settled(&setup).await;
    for mut daemon in [first, second] {
        assert!(daemon.terminate().await);
    }
    all_is_well(&setup, 1, "two daemons").await;
}

/// Where an answer leads; empty where it leads nowhere.
fn location(answer: &Response) -> String {
    answer.headers().get(LOCATION).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// Sends a form of the status page as its own page does.
async fn post(setup: &Setup, base: &str, path: &str, cookie: &str, form: &[(&str, &str)]) -> Response {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = setup.client.post(format!("{base}{path}")).header("origin", base).header(COOKIE, cookie);
    request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.unwrap()
}

/// Adds an operator on the command line: the password, and the secret of the one-time passwords.
async fn operator(setup: &Setup, name: &str) -> (String, [u8; 20]) {
    let mut command = program();
    command.current_dir(setup.config.parent().unwrap()).args(["operator", "add", name, "--role", "operator", "--config"]);
    command.arg(&setup.config).envs(setup.database().map(|url| ("DCVD__DATABASE__URL", url)));
    let added = spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let told = String::from_utf8(added.stdout).unwrap();
    let after = |what: &str| told.split_once(what).unwrap().1.split(['\n', '&']).next().unwrap();
    let secret = BASE32_NOPAD.decode(after("?secret=").as_bytes()).unwrap();
    (after("password: ").to_owned(), secret.try_into().unwrap())
}

#[tokio::test]
async fn two_keep_the_pace_of_mail_to_a_domain_together() {
    const MAILS: usize = 16;
    const BURST: u32 = 2;
    const PERIOD: Duration = Duration::from_millis(500);
    // A mail that is looked at up to two seconds after its turn counts as in time (`LATE` of `app::pace`), so that the next may follow it
    // so much closer; a third second for what lies between a turn and the inbox. Two that took no notice of each other would be through
    // in three seconds instead of seven, which is more than is forgiven.
    const SLACK: Duration = Duration::from_secs(3);
    let setup = Setup::on(Some(postgres::database().await)).await;
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let paced = text.replace("[smtp]\n", "[smtp]\ndomain_rate = \"2/1s\"\ndomain_burst = 2\n");
    assert_ne!(paced, text);
    std::fs::write(&setup.config, paced).unwrap();
    let (config, other) = another(&setup, 1);
    let first = start(&setup, &setup.config, &setup.base, None).await;
    let second = start(&setup, &config, &other, None).await;
    for daemon in [&first, &second] {
        // The first was alone, and looks every other second whether it still is.
        let knows = || std::fs::read_to_string(&daemon.log).unwrap().contains("the pace of mail to a domain is shared");
        wait("its knowing of the other", async || knows().then_some(())).await;
    }

    let bases = [&setup.base, &other];
    let placing = stream::iter(0..MAILS).for_each_concurrent(4, async |number| {
        setup.place_at(bases[number % 2], &format!("P-{number}")).await;
    });
    placing.await;
    let arrived = || setup.world.inbox.arrived_for("admin@sample-shop.co.jp");
    wait("the mails", async || (arrived().len() >= MAILS).then_some(())).await;
    quiet(&setup).await;
    let arrived = arrived();
    let links: BTreeSet<String> = arrived.iter().filter_map(Arrived::link).collect();
    assert_eq!((arrived.len(), links.len()), (MAILS, MAILS), "each once");

    let begun = arrived.iter().map(|mail| mail.at).min().unwrap();
    let mut times: Vec<Duration> = arrived.iter().map(|mail| mail.at - begun).collect();
    times.sort_unstable();
    for (at, last) in times.iter().enumerate() {
        for (earlier, from) in times[..=at].iter().enumerate() {
            let (count, window) = (u32::try_from(at - earlier + 1).unwrap(), last.saturating_sub(*from));
            assert!(PERIOD * count.saturating_sub(BURST) <= window + SLACK, "{count} in {window:?}: {times:?}");
        }
    }
    for mut daemon in [first, second] {
        assert!(daemon.terminate().await);
    }
}
