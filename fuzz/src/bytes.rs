//! Targets that are pure functions of bytes: frames and records, configuration text, depfiles, ELF images.

use plugcache::{
    __sim::{self, Disk},
    Config,
};

const SLOT: usize = 64;

/// Frames and records: what decodes is spelled as it would be written, and reading in two steps gives the same
/// frames as reading in one (I6).
///
/// Input: how often the log is read, kind, flags and the cut; then a payload, which stands in a right frame
/// between two copies of itself as bare bytes.
pub fn frame(data: &[u8]) {
    let Some((&[kind, flags, cut_low, cut_high], payload)) = data.split_first_chunk::<4>() else { return };
    const SEED: u64 = 7;
    respelled(payload, SEED);
    let Some(framed) = __sim::frame_of(kind, flags, payload, SEED) else { return };
    // As the entry or item of a segment, behind a slot that is none.
    let in_segment = __sim::frame_of_segment(kind, flags, payload, SEED).expect("it has the same limit");
    let found = __sim::frames_of_segment(&[&[0xEE; 8], &in_segment[..]].concat(), SEED);
    assert!(
        matches!(&found[..], [one] if (one.at, one.len, &one.payload[..]) == (8, in_segment.len(), payload))
    );
    let mut window = payload.to_vec();
    window.resize(window.len().next_multiple_of(SLOT), 0xEE);
    window.extend(&framed);
    window.extend(payload);
    let found = respelled(&window, SEED);
    assert!(
        found.iter().any(|frame| (frame.kind, frame.flags, &frame.payload[..]) == (kind, flags, payload))
    );
    // The fuzzer learns the seed, which is a secret of each real file: frames within frames prove nothing.
    let is_nested = |frame: &__sim::Framed| {
        let inside = &window[frame.at + SLOT..frame.at + frame.len];
        !__sim::frames(inside, SEED).0.is_empty()
    };
    if found.iter().any(is_nested) {
        return;
    }
    // What two readings see: up to the cut, then from the known end on.
    let cut = usize::from(u16::from_le_bytes([cut_low, cut_high])) % (window.len() + 1);
    let (mut seen, known) = __sim::frames(&window[..cut], SEED);
    let (rest, _) = __sim::frames(&window[known..], SEED);
    seen.extend(rest.into_iter().map(|frame| __sim::Framed { at: frame.at + known, ..frame }));
    assert_eq!(seen, found, "cut at {cut} of {}", window.len());
}

fn respelled(window: &[u8], seed: u64) -> Vec<__sim::Framed> {
    let (frames, known) = __sim::frames(window, seed);
    assert!(known <= window.len() && known % SLOT == 0);
    let mut end = 0;
    for frame in &frames {
        assert!(frame.at >= end && frame.at % SLOT == 0 && frame.len % SLOT == 0);
        end = frame.at + frame.len;
        let bytes = &window[frame.at..end];
        assert_eq!(__sim::frame_of(frame.kind, frame.flags, &frame.payload, seed).as_deref(), Some(bytes));
        if let Some(respelled) = &frame.respelled {
            assert_eq!(respelled, bytes, "a record has two spellings");
        }
    }
    assert!(known >= end);
    frames
}

/// Configuration text: reading never panics, and what was read is written and read again as the same.
pub fn config_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let json = serde_json::from_str::<Config>(text).ok();
    let toml = toml::from_str::<Config>(text).ok();
    for config in json.into_iter().chain(toml) {
        let json = serde_json::to_string(&config).expect("a configuration that was read can be written");
        let toml = toml::to_string(&config).expect("a configuration that was read can be written");
        assert_eq!(serde_json::from_str::<Config>(&json).ok().as_ref(), Some(&config), "{json}");
        assert_eq!(toml::from_str::<Config>(&toml).ok().as_ref(), Some(&config), "{toml}");
        assert_eq!(config.to_builder().build(), config);
    }
}

/// Depfiles: never a panic; the names are not empty, come once each, and all stem from the bytes.
pub fn depfile(data: &[u8]) {
    let Some(inputs) = __sim::parse_depfile(data) else { return };
    for (place, input) in inputs.iter().enumerate() {
        assert!(!input.is_empty() && !inputs[..place].contains(input));
        assert!(!input.contains(&0) && !input.contains(&b'\n'));
    }
    assert!(inputs.iter().map(Vec::len).sum::<usize>() < data.len());
    // Written as GCC would, the same inputs are read again.
    if inputs
        .iter()
        .all(|input| ![b'\\', b'\r'].iter().any(|byte| input.contains(byte)) && !input.ends_with(b":"))
    {
        let mut again = b"out:".to_vec();
        for input in &inputs {
            again.push(b' ');
            for byte in input {
                match byte {
                    b' ' | b'\t' | b'#' => again.push(b'\\'),
                    b'$' => again.push(b'$'),
                    _ => {}
                }
                again.push(*byte);
            }
        }
        again.push(b'\n');
        assert_eq!(__sim::parse_depfile(&again), Some(inputs), "{}", again.escape_ascii());
    }
}

/// ELF images: never a panic or an error; a build id is 8 to 64 bytes that stand in the file.
pub fn elf(data: &[u8]) {
    let disk = Disk::new(1);
    disk.plant_file("/image", data);
    let id = __sim::build_id(disk.process(), "/image".as_ref()).expect("nothing fails on this disk");
    if let Some(id) = id {
        assert!((8..=64).contains(&id.len()));
        assert!(data.windows(id.len()).any(|window| window == id));
    }
}
