//! What a name server does over TCP in the place of an answer.

use std::{io, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A piece of a flood.
const NONSENSE: [u8; 4096] = [0xff; 4096];

/// A fault of a connection. The query was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpFault {
    /// The connection is reset.
    Reset,
    /// The connection is ended.
    Close,
    /// Nothing comes.
    Stall,
    /// The answer, and nonsense after it as fast as it goes.
    Flood,
    /// The length says more than comes; then the end.
    TooLong,
    /// The length is 0.
    Empty,
    /// The right answer to another question.
    OtherQuestion,
    /// That the answer does not fit, once more.
    Truncated,
}

impl TcpFault {
    /// Does it, in the place of these messages. `note` is told how many octets of a flood went out.
    pub(super) async fn answer(
        self,
        mut stream: TcpStream,
        messages: &[Vec<u8>],
        note: impl Fn(usize),
    ) -> io::Result<()> {
        let message = messages.first().cloned().unwrap_or_default();
        let length = |octets: usize| u16::try_from(octets).expect("the message fits").to_be_bytes();
        match self {
            Self::Reset => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
            Self::Close => Ok(()),
            Self::Stall => drain(&mut stream).await,
            Self::Flood => {
                // Small, so that what goes out is hardly more than what is read.
                SockRef::from(&stream).set_send_buffer_size(NONSENSE.len())?;
                stream.write_all(&length(message.len())).await?;
                stream.write_all(&message).await?;
                loop {
                    stream.write_all(&NONSENSE).await?;
                    note(NONSENSE.len());
                }
            }
            Self::TooLong => {
                stream.write_all(&length(usize::from(u16::MAX))).await?;
                stream.write_all(&message).await
            }
            Self::Empty => stream.write_all(&length(0)).await,
            // Their messages were changed before.
            Self::OtherQuestion | Self::Truncated => {
                stream.write_all(&length(message.len())).await?;
                stream.write_all(&message).await
            }
        }
    }
}

/// Reads until the client goes.
async fn drain(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
