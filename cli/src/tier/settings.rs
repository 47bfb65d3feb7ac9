//! File and environment together: which bucket, as whom, and what is done with it.

use super::file::{self, File, Publish};
use crate::exit::chain;
use plugcache_remote::{
    Deadlines, Mode, Name, Prefix, Publisher, Remote, RemoteConfig, S3Bucket, S3Config, SecretKey, Trust,
    read_guarded,
};
use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

const FILE: &str = "PLUGCACHE_REMOTE_CONFIG";
const MODE: &str = "PLUGCACHE_REMOTE";

/// Where the tier is, and who this machine is there.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The file that says so.
    pub(crate) file: PathBuf,
    pub(crate) mode: Mode,
    pub(crate) bucket: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) prefix: Prefix,
    pub(crate) namespaces: Vec<Name>,
    /// The file of those who are believed.
    pub(crate) trust: PathBuf,
    pub(crate) publish: Option<Publishing>,
    pub(crate) deadlines: Deadlines,
    connect: Option<Duration>,
}

/// Who publishes, and where.
#[derive(Debug)]
pub(crate) struct Publishing {
    pub(crate) namespace: Name,
    /// The file of the secret key.
    pub(crate) key: PathBuf,
    pub(crate) builder: String,
}

/// The directory of the file that is read where nobody names one; `None` without a home.
pub(crate) fn default_dir() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    config.map(|dir| dir.join("plugcache"))
}

/// Whether the environment says that there shall be none: then nothing is looked for.
pub(super) fn is_off() -> bool {
    env::var_os(MODE).is_some_and(|mode| mode == "off")
}

impl Settings {
    /// What file and environment say; `None`: there is no tier, for nobody asked for one.
    ///
    /// # Errors
    /// What is wrong, for people; it holds no credential.
    pub(crate) fn find() -> Result<Option<Settings>, String> {
        let named = env::var_os(FILE).filter(|path| !path.is_empty());
        let is_named = named.is_some();
        let Some(path) = named.map(PathBuf::from).or_else(|| Some(default_dir()?.join("remote.toml"))) else {
            return Ok(None);
        };
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => return Ok(None),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
            Ok(_) => {}
        }
        Settings::read(&path).map(Some)
    }

    fn read(path: &Path) -> Result<Settings, String> {
        // A link of the user's is as good as what it leads to.
        let real = path.canonicalize();
        let real = real.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let text = read_guarded(&real).map_err(|error| chain(&error))?;
        let file = file::parse(&text).map_err(|(line, why)| format!("{}:{line}: {why}", path.display()))?;
        Settings::of(file, path).map_err(|why| format!("{}: {why}", path.display()))
    }

    fn of(file: File, path: &Path) -> Result<Settings, String> {
        let dir = path.parent().unwrap_or(Path::new(""));
        let beside = |given: Option<PathBuf>, usual: &str| dir.join(given.unwrap_or_else(|| usual.into()));
        let publishing = |publish: Publish| Publishing {
            namespace: publish.namespace,
            key: beside(publish.key, "key"),
            builder: publish.builder.unwrap_or_else(this_machine),
        };
        let endpoint = of_environment("AWS_ENDPOINT_URL")?.or(file.endpoint);
        check_endpoint(endpoint.as_deref())?;
        let mode = of_environment(MODE)?.map(|word| file::mode_of(&word));
        let mode = mode.transpose().map_err(|why| format!("{MODE} is wrong: {why}"))?.unwrap_or(file.mode);
        if file.bucket.is_empty() {
            return Err("the bucket has no name".into());
        }
        Ok(Settings {
            mode,
            endpoint,
            region: of_environment("AWS_REGION")?.or(file.region),
            prefix: file.prefix.map_or_else(|| Prefix::new(""), Ok).map_err(|error| error.to_string())?,
            namespaces: file.namespaces,
            trust: beside(file.trust, "trust"),
            publish: file.publish.map(publishing),
            connect: file.deadlines.connect,
            deadlines: file.deadlines.deadlines(),
            bucket: file.bucket,
            file: path.to_owned(),
        })
    }

    /// The word for what is done with it.
    pub(crate) fn mode_word(&self) -> &'static str {
        file::word_of(self.mode)
    }

    /// A client of the bucket; nothing is asked yet.
    pub(crate) fn bucket(&self) -> Result<S3Bucket, String> {
        let mut config = S3Config::new(&self.bucket);
        config.allow_http = self.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        (config.endpoint, config.region) = (self.endpoint.clone(), self.region.clone());
        config.connect = self.connect.unwrap_or(config.connect);
        S3Bucket::open(&config).map_err(|error| format!("{}: {}", self.file.display(), chain(&error)))
    }

    /// Whom this machine believes.
    pub(crate) fn trusted(&self) -> Result<Trust, String> {
        Trust::load(&self.trust).map_err(|error| chain(&error))
    }

    /// Who this machine is, with its key.
    pub(crate) fn publisher(&self) -> Result<Publisher, String> {
        let Some(publish) = &self.publish else {
            return Err(format!("{} has no [publish]: this machine only reads", self.file.display()));
        };
        let key = SecretKey::load(&publish.key).map_err(|error| chain(&error))?;
        Ok(Publisher { namespace: publish.namespace.clone(), key, builder: publish.builder.clone() })
    }

    /// The tier itself, with its queue below `state`.
    pub(crate) fn remote(&self, mode: Mode, state: &Path) -> Result<Remote, String> {
        let mut config = RemoteConfig::reader(self.namespaces.clone(), self.trusted()?);
        config.mode = mode;
        config.prefix = self.prefix.clone();
        config.deadlines = self.deadlines;
        if matches!(mode, Mode::ReadWrite | Mode::WriteThrough) {
            let publisher = self.publisher()?;
            // Else it could not even look at what it has brought itself; a key that was revoked stays so.
            config.trust = config.trust.and(&publisher.namespace, publisher.key.public());
            config.publisher = Some(publisher);
        }
        if mode == Mode::ReadWrite {
            config.queue = Some(state.join("queue"));
        }
        Remote::new(self.bucket()?, config).map_err(|error| chain(&error))
    }
}

/// A variable that is set to something.
fn of_environment(name: &str) -> Result<Option<String>, String> {
    let value = env::var_os(name).filter(|value| !value.is_empty());
    value.map(OsString::into_string).transpose().map_err(|_| format!("{name} is no text"))
}

/// An address with a name before an `@` is not shown, and not taken: it would be shown elsewhere.
fn check_endpoint(endpoint: Option<&str>) -> Result<(), String> {
    let Some(endpoint) = endpoint else { return Ok(()) };
    if endpoint.contains('@') {
        return Err("the endpoint holds credentials: they belong into the environment".into());
    }
    let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
    if rest.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        return Err("the endpoint is https://HOST[:PORT] or http://HOST[:PORT]".into());
    }
    Ok(())
}

fn this_machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::check_endpoint;

    #[test]
    fn an_endpoint_is_an_address_and_holds_no_credential() {
        for right in ["https://s3.example.org", "http://127.0.0.1:3900"] {
            assert_eq!(check_endpoint(Some(right)), Ok(()));
        }
        for wrong in ["s3.example.org", "https://", "ftp://x", "https://GK:hush@s3.example.org", "https:///x"]
        {
            let why = check_endpoint(Some(wrong)).unwrap_err();
            assert!(!why.contains("hush"), "{why}");
        }
    }
}
