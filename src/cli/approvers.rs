//! `dcvd approvers NAME`

use anyhow::Context as _;

use super::serve::wire;
use crate::app::list_approvers::{Listed, list_approvers};
use crate::config::Config;
use crate::dcv::contact::SourceStatus;
use crate::dcv::name::CertificateName;
use crate::http::ApproversView;

pub(super) async fn run(mut config: Config, name: &str, profile: Option<&str>, json: bool) -> anyhow::Result<()> {
    // Looking is not keeping: the evidence of a look goes into a database of its own, which goes away.
    let dir = tempfile::tempdir()?;
    config.database.url = format!("sqlite://{}", dir.path().join("look.db").display()).into();
    let app = wire(&config).await?;
    let name =
        CertificateName::parse(name, &app.suffixes).map_err(|error| anyhow::anyhow!("{name}: {error} ({})", error.code()))?;
    let profile =
        app.profiles.get(profile).cloned().with_context(|| format!("there is no profile `{}`", profile.unwrap_or_default()))?;
    let listed = list_approvers(&app, &name, profile, true).await?;
    if json {
        println!("{}", serde_json::to_string(&ApproversView::new(&name, &listed))?);
    } else {
        print_table(&name, &listed);
    }
    app.store.close().await;
    Ok(())
}

fn print_table(name: &CertificateName, listed: &Listed) {
    println!("{name} · {} · {}", name.fqdn().class().as_str(), listed.profile.profile.id);
    let width = listed.listing.approvers.iter().map(|one| one.email.to_string().len()).max().unwrap_or(0);
    for one in &listed.listing.approvers {
        let role = one.role.map_or("", |role| role.as_str());
        let standing = one.reason.as_deref().unwrap_or(if one.usable { "" } else { "not usable" });
        println!(
            "  {:width$}  {:11} {:14} {:10} {standing}",
            one.email.to_string(),
            one.source.as_str(),
            role,
            one.method().section()
        );
    }
    for source in &listed.listing.sources {
        if source.status != SourceStatus::Ok && source.status != SourceStatus::Off {
            println!("  {}: {} ({})", source.source.as_str(), source.status.as_str(), source.reasons.join(", "));
        }
    }
}
