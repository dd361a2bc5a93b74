//! The cryptography of TLS: one provider for every client of this process.

/// Makes the provider known. To be called before a client is built; more than once does no harm.
pub fn provide() {
    // An error says that one is known already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
}
