//! Requests that are not what they seem: shapes by which one is smuggled behind another, old versions, odd methods and targets.

use super::*;

/// The status of each answer on a connection that the server closes.
async fn statuses(server: &Server, request: &[u8]) -> Vec<u16> {
    let answer = raw(server, request).await;
    answer.split("HTTP/1.").skip(1).map(|one| one.split(' ').nth(1).unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn nothing_is_smuggled_behind_a_request() {
    let server = started();
    let behind = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
    for (shape, fields, body, expected) in [
        ("both lengths", "Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\n", 200),
        ("both lengths, the other way", "Transfer-Encoding: chunked\r\nContent-Length: 4", "0\r\n\r\n", 200),
        ("a body by chunks", "Transfer-Encoding: chunked", "1\r\na\r\n0\r\n\r\n", 413),
        ("two lengths", "Content-Length: 0\r\nContent-Length: 44", "", 400),
        ("two lengths in a line", "Content-Length: 0, 44", "", 400),
        ("a signed length", "Content-Length: +0", "", 400),
        ("a negative length", "Content-Length: -1", "", 400),
        ("a length that is too large", "Content-Length: 18446744073709551616", "", 400),
        ("not chunked at the end", "Transfer-Encoding: chunked, identity", "0\r\n\r\n", 400),
        ("an unknown encoding", "Transfer-Encoding: xchunked", "0\r\n\r\n", 400),
        ("a space before the colon", "Content-Length : 44", "", 400),
        ("a folded line", "X: a\r\n Content-Length: 44", "", 400),
        ("a bad size of a chunk", "Transfer-Encoding: chunked", "0x0\r\n\r\n", 413),
        ("a size with a sign", "Transfer-Encoding: chunked", "-1\r\na\r\n0\r\n\r\n", 413),
        ("a huge size of a chunk", "Transfer-Encoding: chunked", "fffffffffffffffff\r\na\r\n", 413),
        ("a chunk without its end", "Transfer-Encoding: chunked", "1\r\nab\r\n0\r\n\r\n", 413),
        ("a NUL in a field", "X: a\0b", "", 400),
        ("a bare CR in a field", "X: a\rContent-Length: 44", "", 400),
        ("no name", ": x", "", 400),
    ] {
        let request = format!("POST /-/reload HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{body}{behind}");
        assert_eq!(statuses(&server, request.as_bytes()).await, [expected], "{shape}");
    }
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_order() {
    let server = started();
    let mut request = Vec::new();
    for path in ["/-/healthy", "/nothing", "/-/ready"].repeat(20) {
        request.extend(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").bytes());
    }
    request.extend(b"GET /-/reload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answered = statuses(&server, &request).await;
    assert_eq!(answered, [[200, 404, 200].repeat(20), vec![405]].concat());
}

#[tokio::test]
async fn a_header_has_limits_in_bytes_and_fields() {
    let server = started();
    // With Host and Connection a hundred, and one more.
    for (others, expected) in [(98, 200), (99, 431)] {
        let fields = "X: y\r\n".repeat(others);
        let request = format!("GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
        assert_eq!(statuses(&server, request.as_bytes()).await, [expected], "{others}");
    }
    let mut endless = TcpStream::connect(server.address).await.unwrap();
    endless.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX: ").await.unwrap();
    let mut sent = 0;
    while endless.write_all(&[b'a'; 1024]).await.is_ok() {
        sent += 1024;
        assert!(sent < 64 << 20, "the server reads without end");
    }
}

#[tokio::test]
async fn other_versions_are_answered_or_refused() {
    let server = started();
    for (request, expected) in [
        ("GET /-/healthy HTTP/1.0\r\n\r\n", 200),
        ("GET /-/healthy HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET /-/healthy HTTP/1.2\r\nHost: x\r\n\r\n", 400),
        ("GET /-/healthy HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        ("GET /-/healthy\r\n\r\n", 400),
    ] {
        assert_eq!(statuses(&server, request.as_bytes()).await, [expected], "{request}");
    }
    let http2 = statuses(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(http2.is_empty(), "it is closed: whoever speaks HTTP/2 at once understands no other answer");
}

#[tokio::test]
async fn one_header_names_the_host() {
    let server = started();
    for (fields, expected) in
        [("", 400), ("Host: x\r\nHost: x\r\n", 400), ("Host: x\r\nhost: y\r\n", 400), ("Host: \r\n", 200)]
    {
        let request = format!("GET /-/healthy HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
        assert_eq!(statuses(&server, request.as_bytes()).await, [expected], "{fields:?}");
    }
}

#[tokio::test]
async fn odd_targets_and_methods_lead_nowhere() {
    let server = started();
    for (line, expected) in [
        ("GET http://x/-/healthy HTTP/1.1", 200),
        ("GET http://elsewhere.example/-/healthy HTTP/1.1", 200),
        ("GET http://x/nothing HTTP/1.1", 404),
        ("OPTIONS * HTTP/1.1", 404),
        ("OPTIONS /-/healthy HTTP/1.1", 405),
        ("TRACE /-/healthy HTTP/1.1", 405),
        ("CONNECT mail.example:25 HTTP/1.1", 404),
        ("get /-/healthy HTTP/1.1", 405),
        ("PROPFIND / HTTP/1.1", 405),
        ("GET //-/healthy HTTP/1.1", 404),
        ("GET /-/../-/healthy HTTP/1.1", 404),
        ("GET /%2d/healthy HTTP/1.1", 404),
        ("GET healthy HTTP/1.1", 404),
    ] {
        let request = format!("{line}\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(statuses(&server, request.as_bytes()).await, [expected], "{line}");
    }
}
