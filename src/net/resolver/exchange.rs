//! One question to one server: UDP first, TCP where the answer does not fit.

use std::{io, net::SocketAddr};

use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    sockets::Sockets,
    stats::Counters,
    wire::{Answer, Flags, Query, Received},
};
use crate::{facts::LookupFailure, net::dial};

/// More than the payload that the query allows, so that a server which exceeds it is still read whole.
const UDP_BUFFER: usize = 4096;
/// First room for an answer over TCP; it grows as the bytes come, up to the 64 kB that the length prefix can say.
const TCP_BUFFER: usize = 4096;

/// Asks one server once over UDP, without EDNS where it does not know that, and over TCP where the answer is cut.
///
/// # Errors
/// `Timeout`, `Unreachable` or `Malformed`; response codes are answers here.
pub(super) async fn exchange(
    sockets: &Sockets,
    name: &Name,
    kind: RecordType,
    flags: Flags,
    deadline: Instant,
    counters: &Counters,
) -> Result<Answer, LookupFailure> {
    for edns in [true, false] {
        let query = Query::new(name, kind, flags, edns)?;
        counters.count_query(kind);
        let mut received = udp(sockets, &query, deadline).await?;
        if matches!(received, Received::Truncated) {
            counters.count_query(kind);
            received =
                timeout_at(deadline, tcp(sockets.server(), &query)).await.unwrap_or(Err(LookupFailure::Timeout))?;
        }
        match received {
            Received::Answer(answer) => return Ok(answer),
            Received::WithoutEdns => {}
            Received::Unreadable(why) => return Err(LookupFailure::Malformed(why)),
            Received::Stray => {
                return Err(LookupFailure::Malformed("the answer over TCP is for another question".to_owned()));
            }
            // What is missing there may be all of it: that is no proof that there is nothing.
            Received::Truncated => {
                return Err(LookupFailure::Malformed("the answer is cut, over TCP too".to_owned()));
            }
        }
    }
    // A query without EDNS is never told to leave EDNS out.
    Err(LookupFailure::Malformed("no answer with or without EDNS".to_owned()))
}

/// One datagram out, and in until the right one comes.
async fn udp(sockets: &Sockets, query: &Query, deadline: Instant) -> Result<Received, LookupFailure> {
    let mut strays = 0_usize;
    let waiting = async {
        let line = sockets.send(query.bytes()).await?;
        let mut buffer = Vec::with_capacity(UDP_BUFFER);
        loop {
            buffer.clear();
            line.socket.recv_buf(&mut buffer).await?;
            match query.read(&buffer) {
                Received::Stray => strays += 1,
                received => {
                    // Where strays came, others may follow.
                    if strays == 0 {
                        sockets.keep(line);
                    }
                    return Ok(received);
                }
            }
        }
    };
    match timeout_at(deadline, waiting).await {
        Ok(result) => result.map_err(|error| unreachable_because(&error)),
        Err(_) if strays > 0 => {
            Err(LookupFailure::Malformed(format!("{strays} messages came, and none answers the question")))
        }
        Err(_) => Err(LookupFailure::Timeout),
    }
}

/// RFC 7766: a length of two octets before every message.
async fn tcp(server: SocketAddr, query: &Query) -> Result<Received, LookupFailure> {
    let stream = match TcpStream::connect(server).await {
        Ok(stream) => stream,
        Err(error) if dial::failure(&error).is_own_side() => return Err(unreachable_because(&error)),
        Err(error) => return Err(not_whole(&error)),
    };
    read_whole(stream, query).await.map_err(|error| not_whole(&error))
}

async fn read_whole(mut stream: TcpStream, query: &Query) -> io::Result<Received> {
    let length = u16::try_from(query.bytes().len()).map_err(io::Error::other)?;
    let mut message = Vec::with_capacity(2 + query.bytes().len());
    message.extend(length.to_be_bytes());
    message.extend(query.bytes());
    stream.write_all(&message).await?;

    let length = stream.read_u16().await?;
    let mut answer = Vec::with_capacity(TCP_BUFFER.min(length.into()));
    stream.take(length.into()).read_to_end(&mut answer).await?;
    if answer.len() < length.into() {
        return Ok(Received::Unreadable("the connection ended within the answer".to_owned()));
    }
    Ok(query.read(&answer))
}

fn unreachable_because(error: &io::Error) -> LookupFailure {
    LookupFailure::Unreachable(error.to_string())
}

/// The server has just answered over UDP, so that it is no silence of the resolver: whoever has no large answers never sees it.
fn not_whole(error: &io::Error) -> LookupFailure {
    LookupFailure::Malformed(format!("the answer is cut, and over TCP: {error}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{net::UdpSocket, time::sleep};

    use super::*;

    /// QR and TC: an answer that does not fit (RFC 1035 §4.1.1), in the first octet of the flags.
    const CUT: u8 = 0b1000_0010;

    #[tokio::test]
    async fn a_resolver_that_takes_no_connection_can_be_reached_all_the_same() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let answering = async move {
            let mut message = [0; 512];
            let (length, from) = server.recv_from(&mut message).await.unwrap();
            message[2] |= CUT;
            server.send_to(&message[..length], from).await.unwrap();
            sleep(Duration::from_secs(60)).await;
        };
        let (name, counters) = (Name::from_ascii("large.test.").unwrap(), Counters::default());
        let deadline = Instant::now() + Duration::from_secs(20);
        let sockets = Sockets::new(address);
        let asking = exchange(&sockets, &name, RecordType::TXT, Flags::Plain, deadline, &counters);
        let failure = tokio::select! {
            result = asking => result.unwrap_err(),
            () = answering => panic!("nothing came of it"),
        };
        assert!(matches!(&failure, LookupFailure::Malformed(why) if why.contains("over TCP")), "{failure:?}");
    }

    #[tokio::test]
    async fn where_nobody_listens_the_resolver_cannot_be_reached() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect("127.0.0.1:9").unwrap();
        let (name, counters) = (Name::root(), Counters::default());
        let deadline = Instant::now() + Duration::from_secs(20);
        let sockets = Sockets::new(socket.local_addr().unwrap());
        let result = exchange(&sockets, &name, RecordType::TXT, Flags::Plain, deadline, &counters).await;
        assert!(matches!(result, Err(LookupFailure::Unreachable(_))), "{result:?}");
    }
}
