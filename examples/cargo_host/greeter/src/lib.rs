//! Greets. The border is C, for Rust's own calling convention is another with each rustc.

mod words;

/// Goes up with every change to what is exported here; the host refuses another number.
#[unsafe(no_mangle)]
pub static PLUGIN_ABI: u32 = 1;

/// Writes a greeting to `text`, which has room for `room` bytes, and says how many it wrote.
///
/// # Safety
/// `text` points to `room` bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greet(text: *mut u8, room: usize) -> usize {
    let greeting = words::GREETING.as_bytes();
    let len = greeting.len().min(room);
    // SAFETY: the caller's promise, and no more than there is room.
    unsafe { text.copy_from_nonoverlapping(greeting.as_ptr(), len) };
    len
}
