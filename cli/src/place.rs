//! Which store is meant, and opening it.

use crate::{
    exit::{Fail, chain},
    tier::Lazy,
};
use plugcache::{Config, ConfigBuilder, Status, Store};
use std::path::{Path, PathBuf};

/// The application whose store is meant where nobody names a directory.
const APP: &str = "plugcache";

/// The configuration of the store of `--store`, else `PLUGCACHE_DIR`, else the user's cache directory.
pub(crate) fn config(flag: Option<&Path>) -> Result<ConfigBuilder, Fail> {
    let config = match flag {
        Some(dir) => Ok(Config::new(dir)),
        None => Config::for_app(APP),
    };
    let say = |error| Fail::new(format!("{}, or give --store DIR", chain(&error)));
    config.map(|config| config.to_builder()).map_err(say)
}

/// Opens a store to look into it or to change it.
pub(crate) fn open(config: ConfigBuilder) -> Result<Store, Fail> {
    Store::open(config.build()).map_err(|error| Fail::of(&error))
}

/// As [`open`], with the tier; nothing is looked for before the store has missed.
pub(crate) fn open_with(config: ConfigBuilder, verbose: bool) -> Result<(Store, Lazy), Fail> {
    let config = config.build();
    let tier = Lazy::of(&config, verbose);
    Ok((tier.open(config).map_err(|error| Fail::of(&error))?, tier))
}

/// As [`open`], of a store that is looked into and not used: it need not be there.
pub(crate) fn open_to_look(flag: Option<&Path>) -> Result<Store, Fail> {
    open(config(flag)?)
}

/// A store that `run` uses, or why there is none.
pub(crate) fn open_or_why(config: ConfigBuilder, tier: Option<&Lazy>) -> Result<Store, String> {
    let config = config.build();
    let store = tier.map_or_else(|| Store::open(config.clone()), |tier| tier.open(config.clone()));
    let store = store.map_err(|error| chain(&error))?;
    match store.status() {
        Status::Disabled(why) => Err(why),
        _ => Ok(store),
    }
}

/// An absolute path as it was meant when the command began.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    // Fails for an empty path or without a working directory: then the path itself names nothing.
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
