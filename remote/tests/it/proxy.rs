//! A proxy between client and engine that is as bad as a network.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// What it does with connections that are made from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// It takes everything and says nothing.
    Silent,
    /// It is closed after this many bytes of answers; `true`: only the next one.
    Cut(usize, bool),
    /// Nothing comes any more after this many bytes of answers, and it stays open.
    Stops(usize),
    /// Every piece of an answer comes this much later.
    Delayed(Duration),
    /// Answers come in pieces of this many bytes, ten in a second.
    Throttled(usize),
    /// It is closed at once.
    Closed,
    /// This status, with this code in the body.
    Refuses(u16, &'static str),
}

pub struct Proxy {
    pub address: SocketAddr,
    weather: Arc<Mutex<Weather>>,
    pub connections: Arc<AtomicUsize>,
}

impl Proxy {
    pub fn before(engine: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Arc::new(Mutex::new(Weather::Fair));
        let connections = Arc::new(AtomicUsize::new(0));
        let (shared, counted) = (weather.clone(), connections.clone());
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                let mut weather = shared.lock().unwrap();
                let now = *weather;
                if let Weather::Cut(_, true) = now {
                    *weather = Weather::Fair;
                }
                drop(weather);
                thread::spawn(move || connect(client, engine, now));
            }
        });
        Proxy { address, weather, connections }
    }

    pub fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }
}

fn connect(mut client: TcpStream, engine: SocketAddr, weather: Weather) {
    match weather {
        Weather::Closed => return,
        Weather::Silent => {
            // Until the client gives up.
            let mut bytes = [0; 4096];
            while client.read(&mut bytes).is_ok_and(|len| len > 0) {}
            return;
        }
        Weather::Refuses(status, code) => {
            let mut bytes = [0; 4096];
            let _ = client.read(&mut bytes);
            let body = format!("<Error><Code>{code}</Code><Key>GKfleet</Key></Error>");
            let head =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
            let _ = client.write_all(format!("{head}\r\n{body}").as_bytes());
            return;
        }
        _ => {}
    }
    let Ok(mut to) = TcpStream::connect(engine) else { return };
    let (mut from, mut back) = (to.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        // Who goes away ends both directions below.
        let _ = std::io::copy(&mut client, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = answer(&mut from, &mut back, weather);
    let _ = (from.shutdown(Shutdown::Both), back.shutdown(Shutdown::Both));
}

fn answer(from: &mut TcpStream, back: &mut TcpStream, weather: Weather) -> std::io::Result<()> {
    let (mut bytes, mut sent) = (vec![0; 16 << 10], 0);
    loop {
        let piece = if let Weather::Throttled(len) = weather { len } else { bytes.len() };
        let len = from.read(&mut bytes[..piece])?;
        if len == 0 {
            return Ok(());
        }
        match weather {
            Weather::Delayed(time) => thread::sleep(time),
            Weather::Throttled(_) => thread::sleep(Duration::from_millis(100)),
            _ => {}
        }
        let room = match weather {
            Weather::Cut(at, _) | Weather::Stops(at) => at - sent,
            _ => len,
        };
        back.write_all(&bytes[..len.min(room)])?;
        sent += len.min(room);
        if len >= room && matches!(weather, Weather::Cut(..)) {
            return Ok(());
        }
        if len >= room && matches!(weather, Weather::Stops(_)) {
            // Until the client gives up.
            while back.read(&mut bytes).is_ok_and(|len| len > 0) {}
            return Ok(());
        }
    }
}
