//! One connection to another node: opened, shown the token, then frames and their answers until it
//! breaks or is ended.
//!
//! Frames go in batches, each answered before the next: the batch is small against what the other
//! node's main thread does between two iterations, and large against a round trip.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gears_core::cluster::{
    Answer, Batch, Closed, ClosedWhy, Connection, Endpoint, NodeId, Opened, Outgoing, Payload,
    ProcessId, Pulse, Ticket, Token, Topic,
};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, TlsCertificates, Value,
};
use tokio::sync::mpsc::UnboundedReceiver;

use super::PROTOCOL;
use super::io::{Report, Reports};
use crate::server::TlsFiles;

/// Time for a connection to be there.
const CONNECT: Duration = Duration::from_secs(3);

/// Time for an answer. A node that is stopped is found to be failing much earlier, by the cluster.
const ANSWER: Duration = Duration::from_secs(30);

/// How often a node that nothing is sent to is asked for an answer.
const PULSE: Duration = Duration::from_secs(1);

/// Bytes of a batch.
const BATCH: usize = 256 * 1024;

/// The command between nodes.
const COMMAND: &str = "_RG_INTERNALS";

const NOT_UNDERSTOOD: &str = "an answer that nobody understands";

/// A message to be sent.
pub(super) struct ToSend {
    pub(super) ticket: Ticket,
    pub(super) topic: Topic,
    pub(super) payload: Payload,
}

/// What a connection is made of.
pub(super) struct Link {
    pub(super) node: NodeId,
    pub(super) connection: Connection,
    pub(super) endpoint: Endpoint,
    pub(super) tls: Option<TlsFiles>,
    pub(super) token: Token,
    pub(super) me: NodeId,
    pub(super) process: ProcessId,
}

/// Why a connection ends.
struct End {
    why: ClosedWhy,
    error: String,
}

impl End {
    #[expect(clippy::needless_pass_by_value, reason = "errors are given away")]
    fn broken(error: impl ToString) -> Self {
        Self {
            why: ClosedWhy::Broken,
            error: error.to_string(),
        }
    }
}

/// From the first attempt to the end, which is reported.
pub(super) async fn run(link: Link, reports: Arc<Reports>, mut to_send: UnboundedReceiver<ToSend>) {
    let mut outgoing = Outgoing::default();
    let end = match link.open().await {
        Ok((mut client, opened)) => {
            reports.push(Report::Opened {
                node: link.node,
                connection: link.connection,
                opened,
            });
            link.serve(&mut client, &reports, &mut to_send, &mut outgoing)
                .await
        }
        Err(end) => end,
    };
    reports.push(Report::Closed {
        node: link.node,
        connection: link.connection,
        closed: Closed {
            why: end.why,
            error: end.error,
            uncertain: outgoing.unfinished().uncertain,
        },
    });
}

impl Link {
    async fn open(&self) -> Result<(MultiplexedConnection, Opened), End> {
        let opening = async {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT))
                .set_response_timeout(Some(ANSWER));
            let client = self.client().map_err(End::broken)?;
            let connecting = client.get_multiplexed_async_connection_with_config(&config);
            let mut client = connecting.await.map_err(End::broken)?;
            let there = self.show_token(&mut client).await?;
            Ok((client, there))
        };
        let in_time = tokio::time::timeout(CONNECT, opening).await;
        in_time.unwrap_or_else(|_| Err(End::broken("no answer in time")))
    }

    fn client(&self) -> Result<Client, RedisError> {
        let (host, port) = (self.endpoint.address.clone(), self.endpoint.port);
        // Neither HELLO nor CLIENT SETINFO: who has not shown a token may run nothing.
        let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        let Some(files) = &self.tls else {
            let address = ConnectionAddr::Tcp(host, port);
            let info = address.into_connection_info()?;
            return Client::open(info.set_redis_settings(settings));
        };
        let address = ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        };
        let info = address.into_connection_info()?.set_redis_settings(settings);
        let client = Client::build_with_tls(info, certificates(files)?)?;
        let mut address = client.get_connection_info().addr().clone();
        // As the server itself does towards other nodes: the certificate has to be of somebody whom it
        // trusts, and names nobody.
        address.set_danger_accept_invalid_hostnames(true);
        Client::open(client.get_connection_info().clone().set_addr(address))
    }

    /// Gives what the other node says of itself then.
    async fn show_token(&self, client: &mut MultiplexedConnection) -> Result<Opened, End> {
        let mut command = redis::cmd(COMMAND);
        command
            .arg("PEER")
            .arg(PROTOCOL)
            .arg(self.me.as_str())
            .arg(self.process.to_string())
            .arg(self.token.shown());
        let reply = client.send_packed_command(&command).await;
        let parts = match reply.and_then(Value::extract_error) {
            Ok(Value::Array(parts)) => parts,
            Ok(_) => return Err(End::broken(NOT_UNDERSTOOD)),
            Err(error) => {
                let is_wrong = error.code() == Some("WRONGTOKEN");
                return Err(End {
                    why: if is_wrong {
                        ClosedWhy::WrongToken
                    } else {
                        ClosedWhy::Broken
                    },
                    error: said(&error),
                });
            }
        };
        match &parts[..] {
            [
                Value::Int(_protocol),
                Value::BulkString(process),
                Value::BulkString(version),
                rest @ ..,
            ] => ProcessId::parse(process).map(|process| Opened {
                process,
                version: String::from_utf8_lossy(version).into_owned(),
                message_max: rest.first().and_then(bytes_of),
            }),
            _ => None,
        }
        .ok_or_else(|| End::broken(NOT_UNDERSTOOD))
    }

    /// Until it ends.
    async fn serve(
        &self,
        client: &mut MultiplexedConnection,
        reports: &Reports,
        to_send: &mut UnboundedReceiver<ToSend>,
        outgoing: &mut Outgoing,
    ) -> End {
        let begin = Instant::now();
        let now = || u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut pulse_at = Instant::now();
        loop {
            while let Ok(message) = to_send.try_recv() {
                outgoing.push(message.ticket, message.topic, message.payload);
            }
            if Instant::now() >= pulse_at {
                pulse_at = Instant::now() + PULSE;
                let begun = Instant::now();
                let frames = [Vec::new()];
                let answer = self.exchange(client, &frames, to_send, outgoing).await;
                match answer.and_then(|answers| pulse_of(&answers, begun.elapsed())) {
                    Ok(pulse) => self.answered(reports, Vec::new(), Some(pulse)),
                    Err(end) => return end,
                }
            }
            let Some(batch) = outgoing.next(BATCH, now()) else {
                let until = outgoing
                    .next_time()
                    .map(|at| begin + Duration::from_millis(at));
                let until = until.map_or(pulse_at, |at| at.min(pulse_at));
                tokio::select! {
                    message = to_send.recv() => match message {
                        Some(message) => outgoing.push(message.ticket, message.topic, message.payload),
                        None => return End::broken("it was ended here"),
                    },
                    () = tokio::time::sleep_until(until.into()) => {}
                }
                continue;
            };
            let Batch { frames, .. } = &batch;
            let replies = self.exchange(client, frames, to_send, outgoing).await;
            let answers: Result<Vec<_>, _> =
                replies.and_then(|replies| replies.into_iter().map(answer_of).collect());
            match answers {
                Ok(answers) => {
                    let delivered = outgoing.answered(&batch, &answers, now());
                    self.answered(reports, delivered, None);
                }
                Err(end) => return end,
            }
        }
    }

    fn answered(&self, reports: &Reports, delivered: Vec<Ticket>, pulse: Option<Pulse>) {
        reports.push(Report::Answered {
            node: self.node,
            connection: self.connection,
            delivered,
            pulse,
        });
    }

    /// Sends frames, and gives the reply to each. Meanwhile messages are taken.
    async fn exchange(
        &self,
        client: &mut MultiplexedConnection,
        frames: &[Vec<u8>],
        to_send: &mut UnboundedReceiver<ToSend>,
        outgoing: &mut Outgoing,
    ) -> Result<Vec<Value>, End> {
        let mut pipeline = Pipeline::with_capacity(frames.len());
        for frame in frames {
            pipeline.cmd(COMMAND).arg("FRAME").arg(&frame[..]);
        }
        let exchange = client.send_packed_commands(&pipeline, 0, frames.len());
        tokio::pin!(exchange);
        let replies = loop {
            tokio::select! {
                replies = &mut exchange => break replies.map_err(End::broken)?,
                message = to_send.recv() => match message {
                    Some(message) => outgoing.push(message.ticket, message.topic, message.payload),
                    None => return Err(End::broken("it was ended here")),
                },
            }
        };
        if replies.len() != frames.len() {
            return Err(End::broken("not one answer for each question"));
        }
        Ok(replies)
    }
}

/// A number of bytes in a reply.
fn bytes_of(reply: &Value) -> Option<usize> {
    match reply {
        Value::Int(bytes) => usize::try_from(*bytes).ok(),
        _ => None,
    }
}

/// What the reply to a frame without bytes says, which took so long: how large messages may be.
fn pulse_of(replies: &[Value], took: Duration) -> Result<Pulse, End> {
    let message_max = match replies {
        [reply @ Value::Int(_)] => bytes_of(reply),
        [reply] => {
            // It is busy, or loading; or the connection is to end.
            answer_of(reply.clone())?;
            None
        }
        _ => return Err(End::broken(NOT_UNDERSTOOD)),
    };
    Ok(Pulse {
        round_trip_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        message_max,
    })
}

/// What a server's error says, in its own words; what it was sent is not among them.
fn said(error: &RedisError) -> String {
    let (Some(code), Some(details)) = (error.code(), error.detail()) else {
        return error.to_string();
    };
    let details = details.split(", with args").next().unwrap_or(details);
    format!("{code} {details}")
}

/// What a reply says. What a node cannot take now it may take later; what it will not take, or does not
/// understand, ends the connection.
fn answer_of(reply: Value) -> Result<Answer, End> {
    match reply {
        Value::Okay => Ok(Answer::Taken),
        Value::ServerError(error) if matches!(error.code(), "BUSY" | "LOADING" | "MASTERDOWN") => {
            Ok(Answer::Later)
        }
        Value::ServerError(error) => Err(End::broken(format!(
            "{} {}",
            error.code(),
            error.details().unwrap_or_default()
        ))),
        _ => Err(End::broken(NOT_UNDERSTOOD)),
    }
}

/// Reads the server's files: they may have been replaced.
fn certificates(files: &TlsFiles) -> std::io::Result<TlsCertificates> {
    let read = |name: &str| {
        let named = |error| std::io::Error::other(format!("{name}: {error}"));
        std::fs::read(name).map_err(named)
    };
    let client_tls = if files.certificate.is_empty() {
        None
    } else {
        Some(ClientTlsConfig {
            client_cert: read(&files.certificate)?,
            client_key: read(&files.key)?,
        })
    };
    let mut trusted = Vec::new();
    if !files.trusted_file.is_empty() {
        trusted.extend(read(&files.trusted_file)?);
    }
    if !files.trusted_folder.is_empty() {
        for entry in std::fs::read_dir(&files.trusted_folder)? {
            let path = entry?.path();
            if path.is_file() {
                trusted.push(b'\n');
                trusted.extend(std::fs::read(path)?);
            }
        }
    }
    Ok(TlsCertificates {
        client_tls,
        root_cert: (!trusted.is_empty()).then_some(trusted),
    })
}
