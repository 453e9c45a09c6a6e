//! The name server: it answers as a resolver that validates would, over UDP and TCP.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hickory_resolver::proto::{
    op::{Edns, Message, OpCode, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::SOA},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    time::{sleep, timeout},
};

use super::{
    stage::Stage,
    zone::{Found, Zone},
};

/// The TTL of every record, in seconds: what happens in the world is seen by the next look.
pub(super) const TTL: u32 = 10;
/// The largest answer over UDP (RFC 9715 §3.2).
const PAYLOAD: u16 = 1232;
/// The longest wait for the next query on a TCP connection (RFC 7766 §6.2.3).
const IDLE: Duration = Duration::from_secs(10);
/// After a socket failed: there is no sense in trying again at once.
const PAUSE: Duration = Duration::from_millis(100);
/// Aliases that are followed; the world has one at most.
const ALIASES_MOST: usize = 8;

/// Answers over UDP, for ever.
pub(super) async fn serve_udp(socket: UdpSocket, stage: Arc<Stage>) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, sender)) = socket.recv_from(&mut buffer).await else {
            // The answer before met a socket that was closed already.
            continue;
        };
        let query = buffer.get(..length).unwrap_or_default();
        if let Some(answer) = stage.with_zone(|zone| answer(zone, query, true)) {
            send(&socket, &answer, sender).await;
        }
    }
}

async fn send(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(answer, to).await {
        tracing::debug!(%error, "an answer of the name server was not sent");
    }
}

/// Answers over TCP, for ever.
pub(super) async fn serve_tcp(listener: TcpListener, stage: Arc<Stage>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let stage = Arc::clone(&stage);
                // How a connection ends is the client's to tell.
                tokio::spawn(async move { serve_stream(stream, &stage).await });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn serve_stream(mut stream: TcpStream, stage: &Stage) -> io::Result<()> {
    loop {
        let length = timeout(IDLE, stream.read_u16()).await??;
        let mut query = vec![0; length.into()];
        timeout(IDLE, stream.read_exact(&mut query)).await??;
        let Some(answer) = stage.with_zone(|zone| answer(zone, &query, false)) else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat()).await?;
    }
}

/// The answer to a query; nothing to what is no query.
fn answer(zone: &Zone, bytes: &[u8], over_udp: bool) -> Option<Vec<u8>> {
    let query = Message::from_vec(bytes).ok()?;
    let question = query.queries.first()?;
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_query(question.clone());
    let dnssec_ok = query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        answer.set_edns(edns);
    }
    let secure = fill(zone, &mut answer, question);
    // RFC 6840 §5.7, §5.8: to whoever shows that it understands the bit.
    answer.metadata.authentic_data = secure && (query.metadata.authentic_data || dnssec_ok);
    let whole = answer.to_vec().ok()?;
    match over_udp && whole.len() > usize::from(query.max_payload().min(PAYLOAD)) {
        true => answer.truncate().to_vec().ok(),
        false => Some(whole),
    }
}

/// Puts the records in, with the aliases on the way to them. Returns whether all of it is signed.
fn fill(zone: &Zone, answer: &mut Message, question: &Query) -> bool {
    let mut owner = question.name().clone();
    // The root is signed: by this name a monitor sees whether its resolver validates.
    if owner.is_root() {
        match question.query_type() {
            RecordType::SOA => {
                answer.add_answer(start_of_authority());
            }
            _ => deny(answer, ResponseCode::NoError),
        }
        return true;
    }
    let mut secure = true;
    for _ in 0..ALIASES_MOST {
        let name = canonical(&owner);
        secure &= zone.is_signed(&name);
        match zone.find(&name, question.query_type()) {
            Found::Records(records) => {
                answer.add_answers(records.into_iter().map(|data| Record::from_rdata(owner.clone(), TTL, data)));
                return secure;
            }
            Found::Alias(target) => {
                let alias = RData::CNAME(hickory_resolver::proto::rr::rdata::CNAME(target.clone()));
                answer.add_answer(Record::from_rdata(owner, TTL, alias));
                owner = target;
            }
            Found::NoData => {
                deny(answer, ResponseCode::NoError);
                return secure;
            }
            Found::NxDomain => {
                deny(answer, ResponseCode::NXDomain);
                return secure;
            }
        }
    }
    answer.metadata.response_code = ResponseCode::ServFail;
    false
}

fn deny(answer: &mut Message, code: ResponseCode) {
    answer.metadata.response_code = code;
    answer.add_authority(start_of_authority());
}

fn start_of_authority() -> Record {
    let soa = SOA::new(Name::root(), Name::root(), 1, 60, 60, 60, TTL);
    Record::from_rdata(Name::root(), TTL, RData::SOA(soa))
}

fn canonical(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}
