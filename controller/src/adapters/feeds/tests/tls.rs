use std::sync::Once;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::cases::LIST;
use super::server::{answer, raw};
use super::*;

const NAME: &str = "feeds.example.com";

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(name: &str, years: std::ops::Range<i32>) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(years.start, 1, 1);
    params.not_after = date_time_ymd(years.end, 1, 1);
    params
}

fn config(certificate: &rcgen::Certificate, key: &KeyPair) -> Arc<ServerConfig> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Another test may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth();
    Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

/// Fetches from a server with this certificate, signed by an authority that the client trusts or by itself.
async fn fetch(
    params: CertificateParams,
    trusted: bool,
    steps: fn() -> Vec<Step>,
) -> (Result<Answer, FetchError>, Server) {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = if trusted { params.signed_by(&key, &authority) } else { params.self_signed(&key) };
    let script: Script = Arc::new(move |_, _| steps());
    let server = Server::start_tls(script, config(&certificate.unwrap(), &key)).await.unwrap();
    let mut settings = settings();
    settings.authorities = vec![authority.pem().into_bytes()];
    settings.fixed.insert(NAME.to_owned(), vec!["127.0.0.1".parse().unwrap()]);
    let request = request(&format!("https://{NAME}:{}/", server.port()), Protocol::Plain);
    (Fetcher::new(settings).fetch(&request, None).await, server)
}

fn honest() -> Vec<Step> {
    answer("200 OK", &[], LIST)
}

#[tokio::test]
async fn a_certificate_of_a_known_authority_is_taken() {
    let (fetched, server) = fetch(leaf(NAME, 2020..2120), true, honest).await;
    assert_eq!(label(&fetched), "changed", "{fetched:?}");
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn certificates_that_show_nothing_are_refused_and_not_asked_in_plain() {
    let rows = [
        ("self-signed", leaf(NAME, 2020..2120), false),
        ("wrong name", leaf("other.example.com", 2020..2120), true),
        ("expired", leaf(NAME, 2020..2021), true),
        ("not yet valid", leaf(NAME, 2110..2120), true),
    ];
    for (what, params, trusted) in rows {
        let (fetched, server) = fetch(params, trusted, honest).await;
        assert_eq!(label(&fetched), "tls", "{what}: {fetched:?}");
        assert_eq!(server.heads().len(), 0, "{what}");
        let text = fetched.unwrap_err().to_string();
        assert!(text.contains(NAME) && text.contains("certificate"), "{what}: {text}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_without_goodbye_is_a_cut_answer() {
    let (fetched, _server) =
        fetch(leaf(NAME, 2020..2120), true, || vec![raw("HTTP/1.1 200 OK\r\n\r\n192.0.2.1\n")]).await;
    assert_eq!(label(&fetched), "cut", "{fetched:?}");
}

#[tokio::test]
async fn https_never_becomes_http() {
    let steps = || answer("301 Moved", &["Location: http://feeds.example.com/list"], b"");
    let (fetched, server) = fetch(leaf(NAME, 2020..2120), true, steps).await;
    assert_eq!(label(&fetched), "downgrade", "{fetched:?}");
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn what_is_no_tls_is_an_error_and_not_asked_in_plain() {
    for steps in
        [vec![raw("HTTP/1.1 400 Bad Request\r\n\r\n")], vec![raw("\u{15}\u{3}\u{1}\0\u{2}\u{2}\u{50}")], vec![]]
    {
        // Answers as soon as a client speaks: the ClientHello holds no end of a head, so this listens for itself.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            let mut connections = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                connections += 1;
                assert_eq!(connections, 1, "asked again");
                for step in &steps {
                    if let Step::Send(bytes) = step {
                        tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await.unwrap();
                    }
                }
            }
        });
        let fetched = fetcher().fetch(&request(&format!("https://127.0.0.1:{port}/"), Protocol::Plain), None).await;
        assert!(["tls", "connect"].contains(&label(&fetched)), "{fetched:?}");
        assert!(!served.is_finished());
        served.abort();
    }
}
