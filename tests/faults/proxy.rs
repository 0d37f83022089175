//! A TCP proxy between two parts: the network, with its weather.
//!
//! Promise: in [`Weather::Fair`] what comes on one side goes out on the other, bytes and ends alike; whatever the weather was, once it is
//! fair new connections are.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use vertigo::endpoint::Endpoint;

/// Bytes that are moved at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// They arrive.
    Fair,
    /// Connections are closed as soon as they are made.
    Refuses,
    /// Each chunk is late by this.
    Slow(Duration),
    /// They vanish, and nobody is told: connections stay open on both sides.
    Silent(Way),
    /// A connection breaks after so many bytes in one direction.
    Torn(usize),
}

/// Which bytes vanish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Those from who dialled.
    Up,
    /// Those to who dialled.
    Down,
    Both,
}

impl Weather {
    /// Whether bytes in this direction vanish.
    fn swallows(self, is_up: bool) -> bool {
        match self {
            Weather::Silent(Way::Both) => true,
            Weather::Silent(Way::Up) => is_up,
            Weather::Silent(Way::Down) => !is_up,
            _ => false,
        }
    }
}

/// A way from whoever dials `endpoint` to one target.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) endpoint: Endpoint,
    weather: watch::Sender<Weather>,
    /// Counts up; connections end when it does.
    cuts: watch::Sender<u64>,
}

impl Link {
    /// Begins to listen on loopback.
    pub(crate) async fn to(target: SocketAddr) -> std::io::Result<Link> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let endpoint = listener.local_addr()?.to_string().parse().map_err(std::io::Error::other)?;
        let (weather, cuts) = (watch::Sender::new(Weather::Fair), watch::Sender::new(0));
        let (sky, knife) = (weather.subscribe(), cuts.subscribe());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                if *sky.borrow() == Weather::Refuses {
                    continue;
                }
                let mut knife = knife.clone();
                knife.mark_unchanged();
                tokio::spawn(carry(socket, target, sky.clone(), knife));
            }
        });
        Ok(Link { endpoint, weather, cuts })
    }

    /// Closes all connections that there are.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Changes the weather. Bytes that vanished are lost to their connection, so that connection ends with the silence.
    pub(crate) fn turns(&self, weather: Weather) {
        let before = self.weather.send_replace(weather);
        if matches!(before, Weather::Silent(_)) || weather == Weather::Refuses {
            self.cut();
        }
    }
}

/// One connection, to its end.
async fn carry(near: TcpStream, target: SocketAddr, sky: watch::Receiver<Weather>, knife: watch::Receiver<u64>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let mut cut = knife.clone();
    let both = async {
        // Where one direction breaks, so does the other; where one ends well, the other may go on.
        let up = pump(near_read, far_write, true, sky.clone());
        let down = pump(far_read, near_write, false, sky);
        tokio::try_join!(up, down)
    };
    tokio::select! {
        _ = both => {}
        _ = cut.changed() => {}
    }
}

/// Moves bytes in one direction until they end (`Ok`) or the connection breaks.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    is_up: bool,
    sky: watch::Receiver<Weather>,
) -> std::io::Result<()> {
    let (mut chunk, mut moved, mut has_gap) = (vec![0; CHUNK_BYTES], 0, false);
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let weather = *sky.borrow();
        // What comes after bytes that were lost never arrives either: TCP has no gaps.
        has_gap |= weather.swallows(is_up);
        if has_gap {
            continue;
        }
        let mut part = &chunk[..read];
        if let Weather::Slow(delay) = weather {
            tokio::time::sleep(delay).await;
        }
        if let Weather::Torn(bytes) = weather {
            part = &part[..read.min(bytes.saturating_sub(moved))];
        }
        to.write_all(part).await?;
        moved += part.len();
        if part.len() < read {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo_testkit::waiting::soon;

    /// A server that answers with what it is sent, and a link to it.
    async fn echo() -> (Link, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let target = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (mut read, mut write) = socket.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
            }
        });
        let link = Link::to(target).await.unwrap();
        let near = link.endpoint.url().trim_start_matches("http://").parse().unwrap();
        (link, near)
    }

    async fn said(near: SocketAddr, text: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut socket = TcpStream::connect(near).await?;
        socket.write_all(text).await?;
        socket.shutdown().await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn bytes_and_ends_arrive_in_fair_weather_and_after_any_other() {
        let (link, near) = echo().await;
        let long = vec![7; 5 * CHUNK_BYTES + 3];
        for weather in [Weather::Refuses, Weather::Slow(Duration::from_millis(1)), Weather::Torn(100), Weather::Fair] {
            link.turns(weather);
            let answer = soon("an answer", said(near, &long)).await.unwrap_or_default();
            match weather {
                Weather::Refuses => assert!(answer.is_empty(), "{weather:?}"),
                Weather::Torn(bytes) => assert!(answer.len() <= bytes, "{weather:?}: {}", answer.len()),
                _ => assert_eq!(answer, long, "{weather:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_silent_link_swallows_one_way_and_says_nothing_until_it_ends() {
        let (link, near) = echo().await;
        for way in [Way::Up, Way::Down, Way::Both] {
            let mut socket = TcpStream::connect(near).await.unwrap();
            let mut byte = [0];
            socket.write_all(b"a").await.unwrap();
            soon("the echo", socket.read_exact(&mut byte)).await.unwrap();
            link.turns(Weather::Silent(way));
            socket.write_all(b"b").await.unwrap();
            let silence = tokio::time::timeout(Duration::from_millis(100), socket.read(&mut byte)).await;
            assert!(silence.is_err(), "{way:?}: {silence:?}");
            link.turns(Weather::Fair);
            let end = soon("the end", socket.read(&mut byte)).await;
            assert!(matches!(end, Ok(0) | Err(_)), "{way:?}: what was lost does not come late: {end:?}");
        }
    }
}
