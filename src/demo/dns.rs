//! An authoritative DNS server by hickory-server: a signed root that holds the sample names, and zones below it that are
//! unsigned, signed by a key nobody vouches for, or silent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use hickory_server::Server;
use hickory_server::dnssec::NxProofKind;
use hickory_server::net::runtime::{Time, TokioRuntimeProvider};
use hickory_server::proto::dnssec::crypto::EcdsaSigningKey;
use hickory_server::proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_server::proto::dnssec::{Algorithm, DigestType, DnssecSigner, SigningKey};
use hickory_server::proto::op::{Header, HeaderCounts, MessageType, Metadata};
use hickory_server::proto::rr::rdata::{A, CAA, NS, SOA, TXT};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};

/// Time to live of every record.
const TTL_SECS: u32 = 60;

/// How long signatures hold.
const SIGNED_FOR: Duration = Duration::from_secs(7 * 86_400);

/// A zone that is not signed.
pub const INSECURE_NAME: &str = "insecure-shop.jp";
/// A zone signed by another key than the root vouches for.
pub const BOGUS_NAME: &str = "bogus-shop.jp";
/// A zone whose questions get no answer.
pub const SILENT_NAME: &str = "silent-shop.jp";

/// Names in the signed root, with their TXT contact where they have one.
const SECURE_NAMES: [(&str, Option<&[&str]>); 5] = [
    ("sample-shop.co.jp", Some(&["dns-owner@sample-shop.co.jp"])),
    // The server proves the absence of names one level below one that exists, no deeper.
    ("www.sample-shop.co.jp", None),
    ("sample-shop.jp", Some(&["mailto:wrong@sample-shop.jp", "owner@sample-shop.jp"])),
    ("sample-shop.com", None),
    ("no-contact.jp", None),
];

/// The server, running until dropped.
pub struct DnsServer {
    /// Where it listens, UDP and TCP.
    pub address: SocketAddr,
    anchor: DNSKEY,
    _server: Server<Router>,
}

type Zone = InMemoryZoneHandler<TokioRuntimeProvider>;

impl DnsServer {
    /// Signs the zones and listens on a free port.
    ///
    /// # Errors
    /// A zone cannot be signed, or no port be taken.
    pub async fn start() -> anyhow::Result<Self> {
        let root_key = signer(&Name::root())?;
        let anchor = root_key.to_dnskey();
        let mut root = zone(&Name::root())?;
        for (name, contact) in SECURE_NAMES {
            add(&mut root, name, RData::A(A(Ipv4Addr::LOCALHOST)))?;
            for text in contact.into_iter().flatten() {
                add(&mut root, &format!("_validation-contactemail.{name}"), RData::TXT(TXT::new(vec![(*text).to_owned()])))?;
            }
        }
        // The library knows no constructor for a contact; its fields are open.
        let mut contact = CAA::new_issue(false, None, Vec::new());
        "contactemail".clone_into(&mut contact.tag);
        contact.value = b"caa-owner@sample-shop.com".to_vec();
        add(&mut root, "sample-shop.com", RData::CAA(contact))?;
        let mut catalog = Catalog::new();
        for child in [INSECURE_NAME, BOGUS_NAME] {
            add(&mut root, child, RData::NS(NS(Name::from_ascii("ns.sample-shop.co.jp.")?)))?;
            let origin = Name::from_ascii(format!("{child}."))?;
            let mut zone = zone(&origin)?;
            add(&mut zone, &format!("_validation-contactemail.{child}"), RData::TXT(TXT::new(vec![format!("owner@{child}")])))?;
            if child == BOGUS_NAME {
                let stranger = signer(&origin)?.to_dnskey();
                let digest = stranger.to_digest(&origin, DigestType::SHA256)?;
                let ds = DS::new(
                    stranger.calculate_key_tag()?,
                    Algorithm::ECDSAP256SHA256,
                    DigestType::SHA256,
                    digest.as_ref().to_vec(),
                );
                add(&mut root, child, RData::DNSSEC(DNSSECRData::DS(ds)))?;
                sign(&mut zone, signer(&origin)?)?;
            }
            catalog.upsert(LowerName::new(&origin), vec![Arc::new(zone)]);
        }
        sign(&mut root, root_key)?;
        let root = Arc::new(root);
        catalog.upsert(LowerName::new(&Name::root()), vec![root.clone()]);
        let mut parents = Catalog::new();
        parents.upsert(LowerName::new(&Name::root()), vec![root]);
        let mut server = Server::new(Router { catalog, parents });
        let (udp, tcp) = one_port().await.context("no port is free for both UDP and TCP")?;
        let address = udp.local_addr()?;
        server.register_listener(tcp, Duration::from_secs(5), 4096);
        server.register_socket(udp);
        Ok(Self { address, anchor, _server: server })
    }

    /// The root's key as a file of trust anchors holds it.
    #[must_use]
    pub fn trust_anchor(&self) -> String {
        format!(". {TTL_SECS} IN DNSKEY {}\n", self.anchor)
    }
}

/// Ports tried until one is free for both protocols.
const PORTS_TRIED_MAX: u32 = 50;

async fn one_port() -> std::io::Result<(UdpSocket, TcpListener)> {
    let mut tried = 0;
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if tried == PORTS_TRIED_MAX => return Err(error),
            Err(_) => tried += 1,
        }
    }
}

fn zone(origin: &Name) -> anyhow::Result<Zone> {
    let mut zone = Zone::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny, Some(NxProofKind::Nsec));
    let host = Name::from_ascii("ns.sample-shop.co.jp.")?;
    let soa = SOA::new(host.clone(), Name::from_ascii("hostmaster.sample-shop.co.jp.")?, 1, 3600, 600, 86_400, TTL_SECS);
    zone.upsert_mut(Record::from_rdata(origin.clone(), TTL_SECS, RData::SOA(soa)), 1);
    zone.upsert_mut(Record::from_rdata(origin.clone(), TTL_SECS, RData::NS(NS(host))), 1);
    Ok(zone)
}

fn add(zone: &mut Zone, name: &str, data: RData) -> anyhow::Result<()> {
    zone.upsert_mut(Record::from_rdata(Name::from_ascii(format!("{name}."))?, TTL_SECS, data), 1);
    Ok(())
}

fn signer(origin: &Name) -> anyhow::Result<DnssecSigner> {
    let pkcs8 = EcdsaSigningKey::generate_pkcs8(Algorithm::ECDSAP256SHA256)?;
    let key = EcdsaSigningKey::from_pkcs8(&pkcs8, Algorithm::ECDSAP256SHA256)?;
    let dnskey = DNSKEY::new(true, true, false, key.to_public_key()?);
    Ok(DnssecSigner::new(dnskey, Box::new(key), origin.clone(), SIGNED_FOR))
}

fn sign(zone: &mut Zone, signer: DnssecSigner) -> anyhow::Result<()> {
    zone.add_zone_signing_key_mut(signer).map_err(|error| anyhow::anyhow!("{error}"))?;
    zone.secure_zone_mut().map_err(|error| anyhow::anyhow!("{error}"))
}

/// Sends DS questions to the parent, which the catalog would not, and lets some questions go unanswered.
struct Router {
    catalog: Catalog,
    parents: Catalog,
}

#[async_trait]
impl RequestHandler for Router {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, response: R) -> ResponseInfo {
        let (silent, ds) = match request.request_info() {
            Ok(info) => {
                let name = info.query.name().to_string().to_ascii_lowercase();
                (name.trim_end_matches('.').ends_with(SILENT_NAME), info.query.query_type() == RecordType::DS)
            }
            Err(_) => (false, false),
        };
        if silent {
            let metadata = Metadata::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
            return ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
        }
        let catalog = if ds { &self.parents } else { &self.catalog };
        catalog.handle_request::<R, T>(request, response).await
    }
}
