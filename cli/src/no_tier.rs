//! In the place of `tier/` in a command without the feature `remote`: there is no tier.

use plugcache::{Config, OpenError, Store, TierKey};

/// No tier.
#[derive(Clone, Debug)]
pub(crate) struct Lazy;

impl Lazy {
    pub(crate) fn of(_: &Config, _: bool) -> Lazy {
        Lazy
    }

    pub(crate) fn open(&self, config: Config) -> Result<Store, OpenError> {
        Store::open(config)
    }

    pub(crate) fn trouble(&self) -> Option<&str> {
        None
    }

    pub(crate) fn is_there(&self) -> bool {
        false
    }

    pub(crate) fn words_about(&self, _: &TierKey) -> Option<String> {
        None
    }
}
