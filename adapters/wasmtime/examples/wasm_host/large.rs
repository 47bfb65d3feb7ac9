//! Makes large modules: as many functions as asked for, all different, which really compute something.
//!
//! Used by the example, the comparison and the tests.

use wasmtime::{Engine, Instance, Module, Store};

/// Statements of one function. With 60 a function takes about 600 bytes.
const STATEMENTS: u32 = 60;
/// Locals that statements read and write, behind the two parameters.
const LOCALS: u32 = 6;
const I32: u8 = 0x7f;

/// A module with so many functions, made from `seed`.
pub(crate) fn wasm(functions: u32, seed: u64) -> Vec<u8> {
    module(functions, seed, None)
}

/// The same, but for one function in the middle.
#[allow(dead_code, reason = "not all who include this file change modules")]
pub(crate) fn wasm_with_change(functions: u32, seed: u64) -> Vec<u8> {
    module(functions, seed, Some(functions / 2))
}

/// Calls the module: what all its functions have computed.
pub(crate) fn run(engine: &Engine, module: &Module) -> wasmtime::Result<i32> {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[])?;
    instance.get_typed_func::<(i32, i32), i32>(&mut store, "run")?.call(&mut store, (3, 5))
}

fn module(functions: u32, seed: u64, changed: Option<u32>) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    // One type: (i32, i32) -> i32.
    section(&mut bytes, 1, &[1, 0x60, 2, I32, I32, 1, I32]);
    let mut types = number(functions + 1);
    types.resize(types.len() + functions as usize + 1, 0);
    section(&mut bytes, 3, &types);
    section(&mut bytes, 5, &[1, 0, 1]); // one memory of one page
    section(&mut bytes, 7, &[&[1, 3][..], b"run", &[0], &number(functions)].concat());
    let mut code = number(functions + 1);
    for function in 0..functions {
        let salt = if changed == Some(function) { 1 << 60 } else { 0 };
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(function) << 20) ^ salt);
        body(&mut code, &computing(random));
    }
    body(&mut code, &calling(functions));
    section(&mut bytes, 10, &code);
    bytes
}

/// A function of random statements: arithmetic, loads and stores, conditions, and a short loop around all.
fn computing(mut random: Random) -> Vec<u8> {
    let mut code = vec![1];
    code.extend([number(LOCALS + 1), vec![I32]].concat());
    let (counter, local) = (2 + LOCALS, |random: &mut Random| number(random.below(2 + LOCALS)));
    code.extend([0x03, 0x40]); // loop
    for _ in 0..STATEMENTS {
        let (a, b, to) = (local(&mut random), local(&mut random), local(&mut random));
        let operator = [0x6a, 0x6b, 0x6c, 0x71, 0x72, 0x73, 0x74, 0x76][random.below(8) as usize];
        match random.below(4) {
            // to = a op (b + constant)
            0 => code.extend(
                [
                    &[0x20][..],
                    &a,
                    &[0x20],
                    &b,
                    &[0x41],
                    &signed(random.next() as i32 >> 8),
                    &[0x6a, operator],
                ]
                .concat(),
            ),
            // to = memory[a & 0xfffc] op b
            1 => code.extend(
                [&[0x20][..], &a, &[0x41], &signed(0xfffc), &[0x71, 0x28, 2, 0, 0x20], &b, &[operator]]
                    .concat(),
            ),
            // memory[a & 0xfffc] = b; to = a
            2 => code.extend(
                [&[0x20][..], &a, &[0x41], &signed(0xfffc), &[0x71, 0x20], &b, &[0x36, 2, 0, 0x20], &a]
                    .concat(),
            ),
            // to = if a < b then a op b else constant
            _ => code.extend(
                [
                    &[0x20][..],
                    &a,
                    &[0x20],
                    &b,
                    &[0x48, 0x04, I32, 0x20],
                    &a,
                    &[0x20],
                    &b,
                    &[operator, 0x05, 0x41],
                    &signed(random.next() as i32 >> 8),
                    &[0x0b],
                ]
                .concat(),
            ),
        }
        code.extend([&[0x21][..], &to].concat());
    }
    // counter += 1; again while it is below 3
    let counter = number(counter);
    code.extend(
        [&[0x20][..], &counter, &[0x41, 1, 0x6a, 0x22], &counter, &[0x41, 3, 0x48, 0x0d, 0, 0x0b]].concat(),
    );
    code.extend([0x20, 0, 0x20, 2, 0x73, 0x0b]); // the first parameter xor the first local
    code
}

/// A function that calls all others, one after the other.
fn calling(functions: u32) -> Vec<u8> {
    let mut code = vec![0];
    for function in 0..functions {
        code.extend([&[0x20, 0, 0x20, 1, 0x10][..], &number(function), &[0x20, 0, 0x6a, 0x21, 0]].concat());
    }
    code.extend([0x20, 0, 0x0b]);
    code
}

fn section(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
    bytes.push(id);
    body(bytes, content);
}

/// Length, then content.
fn body(bytes: &mut Vec<u8>, content: &[u8]) {
    bytes.extend(number(u32::try_from(content.len()).expect("modules stay below 4 GiB")));
    bytes.extend(content);
}

/// LEB128.
fn number(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        bytes.push(if value == 0 { byte } else { byte | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

/// Signed LEB128.
fn signed(mut value: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        let done = (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0);
        bytes.push(if done { byte } else { byte | 0x80 });
        if done {
            return bytes;
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }
}
