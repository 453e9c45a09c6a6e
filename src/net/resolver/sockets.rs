//! The sockets over which a server is asked: one for each question, or kept ones for a server on this host.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::lookup::MAX_IN_FLIGHT;

/// How many sockets wait for the next question at most: as many as a burst has under way, so that the next one opens none. It
/// never takes more descriptors than the burst took.
const MAX_IDLE: usize = MAX_IN_FLIGHT;
/// How many questions go over one socket. Then it has paid for itself a hundred times, and nothing lives for ever.
const MAX_QUESTIONS: u32 = 256;

/// The sockets to one server.
///
/// A socket of its own gives a question a port that nobody can guess (RFC 5452 §9.2). That guards against whoever sends answers
/// with the server's address from elsewhere, and where the server is on this host nobody can: the kernel drops what comes from
/// outside with a loopback address (RFC 1122 §3.2.1.3). So those sockets serve again, one question at a time, each question
/// with an id of its own that its answer has to bear. All are connected, so that nobody but the server answers and a port where
/// nobody listens shows at once.
#[derive(Debug)]
pub(super) struct Sockets {
    server: SocketAddr,
    /// Never more than [`MAX_IDLE`]; none for a server elsewhere.
    idle: Mutex<Vec<Line>>,
}

/// A socket with one question under way.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) socket: UdpSocket,
    questions: u32,
}

impl Sockets {
    pub(super) fn new(server: SocketAddr) -> Self {
        Self { server, idle: Mutex::default() }
    }

    pub(super) const fn server(&self) -> SocketAddr {
        self.server
    }

    /// Sends a question, over a socket that waits or over a new one.
    pub(super) async fn send(&self, question: &[u8]) -> io::Result<Line> {
        let waiting = self.idle().pop();
        if let Some(mut line) = waiting {
            line.questions = line.questions.saturating_add(1);
            line.socket.send(question).await?;
            return Ok(line);
        }
        let socket = connected_socket(self.server)?;
        // Before the runtime knows the socket: there is room for one datagram, and to be told so would cost a turn of its loop.
        let sent = socket.send(question);
        let socket = UdpSocket::from_std(socket.into())?;
        match sent {
            Err(error) if error.kind() == ErrorKind::WouldBlock => socket.send(question).await?,
            sent => sent?,
        };
        Ok(Line { socket, questions: 1 })
    }

    /// Takes back a socket whose question was answered. One on which an answer may still come must not be given back: it would
    /// come to the next question.
    pub(super) fn keep(&self, line: Line) {
        let mut idle = self.idle();
        if self.server.ip().to_canonical().is_loopback() && line.questions < MAX_QUESTIONS && idle.len() < MAX_IDLE {
            idle.push(line);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connected_socket(server: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Without a bind before it, this also chooses a random port, with less work for the kernel.
    socket.connect(&server.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two questions, each answered before the next; the ports that they came from.
    async fn ports(sockets: &Sockets, server: &UdpSocket, questions: u32) -> Vec<u16> {
        let mut ports = Vec::new();
        for _ in 0..questions {
            let line = sockets.send(b"question").await.unwrap();
            let mut buffer = [0; 16];
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], b"question");
            ports.push(from.port());
            sockets.keep(line);
        }
        ports
    }

    #[tokio::test]
    async fn a_socket_to_a_server_on_this_host_serves_again_and_not_for_ever() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let sockets = Sockets::new(server.local_addr().unwrap());
        let mut ports = ports(&sockets, &server, MAX_QUESTIONS + 1).await;
        let last = ports.pop().unwrap();
        ports.dedup();
        assert_eq!(ports.len(), 1, "one port for all");
        assert_ne!(ports, [last], "then another one");
    }

    #[tokio::test]
    async fn a_socket_carries_one_question_at_a_time() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let sockets = Sockets::new(server.local_addr().unwrap());
        let (one, two) = (sockets.send(b"a").await.unwrap(), sockets.send(b"b").await.unwrap());
        assert_ne!(one.socket.local_addr().unwrap(), two.socket.local_addr().unwrap());
        sockets.keep(one);
        drop(two);
        assert_eq!(sockets.idle().len(), 1, "what was not given back is closed");
    }

    #[tokio::test]
    async fn a_burst_leaves_no_more_than_the_bound() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let sockets = Sockets::new(server.local_addr().unwrap());
        let mut lines = Vec::new();
        for _ in 0..MAX_IDLE + 5 {
            lines.push(sockets.send(b"a").await.unwrap());
        }
        lines.into_iter().for_each(|line| sockets.keep(line));
        assert_eq!(sockets.idle().len(), MAX_IDLE);
    }

    #[tokio::test]
    async fn a_server_elsewhere_sees_another_port_each_time() {
        // Nothing is sent as far as that: a connected socket is enough to be given back.
        let sockets = Sockets::new("192.0.2.53:53".parse().unwrap());
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        sockets.keep(Line { socket, questions: 1 });
        assert!(sockets.idle().is_empty());
    }
}
