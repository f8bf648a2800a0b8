//! The one TLS setting of all probes: ring, safe defaults, the machine's own certificates. There is no way to switch the
//! verification off.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, RootCertStore};

/// A client's configuration.
pub(super) fn client_config() -> Result<ClientConfig, rustls::Error> {
    static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(Arc::clone(&ROOTS)).with_no_client_auth())
}
