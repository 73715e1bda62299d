//! What the cluster needs of the tests' own module of this name.

use std::net::{SocketAddr, TcpListener};

/// An address that is free now.
pub(crate) fn address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address")
}
