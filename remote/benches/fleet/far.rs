//! The engine in a process of its own, at several distances.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::engine::Engine;

/// The first argument of that process; the second is its directory.
pub const ROLE: &str = "--engine";

/// How much later answers come, in milliseconds.
pub const DISTANCES: [u64; 3] = [0, 20, 200];

/// The process; it ends with this value.
pub struct Far {
    child: Child,
    /// Where the engine is, for each distance.
    pub addresses: Vec<SocketAddr>,
}

impl Far {
    pub fn start(dir: &Path) -> Far {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(ROLE)
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses = line.split_whitespace().map(|address| address.parse().unwrap()).collect();
        Far { child, addresses }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // It ends when nobody holds the other end; the exit is waited for, so that the next run is alone.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// What the process does: serves until its input ends.
pub fn serve(dir: &Path) {
    let engine = Engine::start(dir);
    let address = |distance: &u64| match *distance {
        0 => engine.address,
        millis => delayed(engine.address, Duration::from_millis(millis)),
    };
    let addresses: Vec<_> = DISTANCES.iter().map(|distance| address(distance).to_string()).collect();
    println!("{}", addresses.join(" "));
    let _ = std::io::stdout().flush();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(0);
}

/// Somewhere from which all bytes of answers come later by this time: in full speed, and not one piece after the other.
/// That a connection is made takes no time there, which a real network asks for once.
fn delayed(engine: SocketAddr, by: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || connect(client, engine, by));
        }
    });
    address
}

fn connect(client: TcpStream, engine: SocketAddr, by: Duration) {
    let Ok(server) = TcpStream::connect(engine) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut asking, mut asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut asking, &mut asked);
        let _ = asked.shutdown(std::net::Shutdown::Write);
    });
    let (to, pieces) = mpsc::channel::<(Instant, Vec<u8>)>();
    let (mut from, mut back) = (server, client);
    thread::spawn(move || {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if back.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = back.shutdown(std::net::Shutdown::Both);
    });
    let mut bytes = vec![0; 64 << 10];
    while let Ok(len @ 1..) = from.read(&mut bytes) {
        if to.send((Instant::now() + by, bytes[..len].to_vec())).is_err() {
            break;
        }
    }
}
