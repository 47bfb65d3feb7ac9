//! A loaded plugin. The only part of the host that knows the C interface of `plugins/plugin.h`.
#![expect(unsafe_code, reason = "a plugin is code in another language behind a C interface")]

use anyhow::anyhow;
use libloading::Library;
use plugcache::LoadFailed;
use std::{
    ffi::{CStr, c_char, c_int},
    path::Path,
    ptr::NonNull,
};

/// `PLUGIN_ABI`.
const ABI: u32 = 1;

/// The room for what a plugin writes in one call.
const PAGE_BYTES: usize = 16 * 1024;

/// `struct page`.
#[repr(C)]
struct Page {
    text: *mut c_char,
    room: usize,
    used: usize,
}

/// `struct plugin`.
#[repr(C)]
struct Interface {
    abi: u32,
    summary: *const c_char,
    sample: *const c_char,
    start: Option<unsafe extern "C" fn(*mut Page) -> c_int>,
    run: Option<unsafe extern "C" fn(*const c_char, *mut Page)>,
}

/// A plugin whose initialiser has succeeded.
pub(crate) struct Plugin {
    /// Points into `library`.
    interface: NonNull<Interface>,
    /// Held only so that the code stays where it is.
    _library: Library,
}

impl Plugin {
    /// Loads and initialises a plugin. The error says whose fault it is: `Artifact` if the file is no plugin
    /// of this host, `Plugin` if it is one that cannot work. Only the first is worth another compile.
    pub(crate) fn load(path: &Path) -> Result<Plugin, LoadFailed<anyhow::Error>> {
        let plugin = open(path).map_err(LoadFailed::Artifact)?;
        plugin.start().map_err(LoadFailed::Plugin)?;
        Ok(plugin)
    }

    pub(crate) fn summary(&self) -> String {
        text(self.interface().summary)
    }

    /// Calls the plugin with its own sample.
    pub(crate) fn call(&self) -> String {
        let Some(run) = self.interface().run else { return String::new() };
        // SAFETY: `plugin.h` promises such a function, which writes to the page alone; the library is loaded.
        on_a_page(|page| unsafe { run(self.interface().sample, page) }).1
    }

    fn start(&self) -> anyhow::Result<()> {
        let Some(start) = self.interface().start else { return Ok(()) };
        // SAFETY: as in `call`.
        match on_a_page(|page| unsafe { start(page) }) {
            (0, _) => Ok(()),
            (_, why) => Err(anyhow!("its initialiser fails: {why}")),
        }
    }

    fn interface(&self) -> &Interface {
        // SAFETY: `plugin.h` promises a description that lives as long as the library, which `self` holds.
        unsafe { self.interface.as_ref() }
    }
}

fn open(path: &Path) -> anyhow::Result<Plugin> {
    // SAFETY: initialisers of a plugin may do anything. Who runs this host trusts the plugins' sources; the
    // store vouches that the file is what was compiled from them.
    let library = unsafe { Library::new(path) }?;
    // SAFETY: `plugin.h` gives the function this type, and the number below that it is that header.
    let interface = unsafe { library.get::<unsafe extern "C" fn() -> *const Interface>("plugin_entry")?() };
    let interface = NonNull::new(interface.cast_mut()).ok_or_else(|| anyhow!("it describes nothing"))?;
    // SAFETY: the number comes first in every version of the description.
    let abi = unsafe { interface.cast::<u32>().read() };
    anyhow::ensure!(abi == ABI, "it speaks version {abi} of the interface, the host {ABI}");
    Ok(Plugin { interface, _library: library })
}

/// Lets a plugin write, and returns what it returned and wrote.
fn on_a_page<T>(call: impl FnOnce(&mut Page) -> T) -> (T, String) {
    let mut bytes = vec![0u8; PAGE_BYTES];
    let mut page = Page { text: bytes.as_mut_ptr().cast(), room: bytes.len(), used: 0 };
    let returned = call(&mut page);
    bytes.truncate(page.used);
    (returned, String::from_utf8_lossy(&bytes).into_owned())
}

fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: `plugin.h` promises a terminated text that lives as long as the library.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
