//! What the tests stand on: one [`TestApp`](app::TestApp), a PostgreSQL cluster of the test run's own, and fakes for time, chance, DNS and WHOIS.

pub mod app;
pub mod bind;
pub mod browser;
pub mod cluster;
pub mod dns;
pub mod fakes;
pub mod gzip;
pub mod log_watch;
pub mod postfix;
pub mod postgres;
pub mod process;
pub mod tls_relay;

/// Makes each test run on SQLite and on PostgreSQL: `on_both!(a_name, another)` for `async fn a_name(app: TestApp)`.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::app::TestApp::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::app::TestApp::postgres().await).await;
            })*
        }
    };
}
pub(crate) use on_both;

/// As [`on_both`], with profiles besides the shipped one: `on_both_with!(PROFILES; a_name, another)`.
macro_rules! on_both_with {
    ($profiles:ident; $($name:ident),* $(,)?) => {
        mod sqlite_with_profiles {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::app::TestApp::with_profiles(super::$profiles).await).await;
            })*
        }
        mod postgres_with_profiles {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::app::TestApp::postgres_with_profiles(super::$profiles).await).await;
            })*
        }
    };
}
pub(crate) use on_both_with;
