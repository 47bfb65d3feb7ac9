//! The engines of the scenes: s3s-fs in a process of its own, which is always there, and three nodes of Garage.

use anyhow::Result;

use crate::{
    bed::{Access, Bed},
    crew::Crew,
    engine::{self, KEY_ID, SECRET},
    garage::Cluster,
    harness::Skipped,
    role::{ROLE, below, heard, say},
};

/// A running engine; it ends with this value.
pub(crate) enum Engine {
    S3s(S3s),
    Garage(Cluster),
}

impl Engine {
    pub(crate) fn s3s(bed: &Bed) -> Engine {
        Engine::S3s(S3s::start(bed))
    }

    pub(crate) fn garage(bed: &Bed) -> Result<Engine, Skipped> {
        Cluster::start(bed).map(Engine::Garage)
    }

    /// For who may write.
    pub(crate) fn writer(&self) -> Access {
        match self {
            Engine::S3s(engine) => engine.access.clone(),
            Engine::Garage(cluster) => cluster.publisher(0),
        }
    }

    /// For a host, of which each asks another node first.
    pub(crate) fn host(&self, number: usize) -> Access {
        match self {
            Engine::S3s(engine) => engine.access.clone(),
            Engine::Garage(cluster) => cluster.host(number),
        }
    }
}

/// What the process does.
pub(crate) fn run() -> Result<()> {
    let engine = engine::Engine::start(&below(""));
    say(&format!("at\t{}", engine.address));
    // Until the test closes it, or ends.
    while heard().is_some() {}
    Ok(())
}

pub(crate) struct S3s {
    access: Access,
    _process: Crew,
}

impl S3s {
    fn start(bed: &Bed) -> S3s {
        let mut crew = Crew::new();
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.env(ROLE, "engine").env("FLEET_DIR", bed.path(""));
        let number = crew.start("engine", command);
        crew.until(|reports| !reports[number].said.is_empty());
        let address = crew.reports[number].said[0].strip_prefix("at\t").unwrap().to_owned();
        let access = Access {
            endpoint: format!("http://{address}"),
            bucket: "fleet".into(),
            key_id: KEY_ID.into(),
            secret: SECRET.into(),
        };
        S3s { access, _process: crew }
    }
}
