;; CRC-32 as of zip and Ethernet: a table made at the start, one look-up per byte.
(module
  (memory (export "memory") 2)
  (func $make_table
    (local $byte i32) (local $crc i32) (local $bit i32)
    (loop $bytes
      (local.set $crc (local.get $byte))
      (local.set $bit (i32.const 0))
      (loop $bits
        (local.set $crc
          (i32.xor
            (i32.shr_u (local.get $crc) (i32.const 1))
            (i32.and
              (i32.sub (i32.const 0) (i32.and (local.get $crc) (i32.const 1)))
              (i32.const 0xedb88320))))
        (local.set $bit (i32.add (local.get $bit) (i32.const 1)))
        (br_if $bits (i32.lt_u (local.get $bit) (i32.const 8))))
      (i32.store (i32.shl (local.get $byte) (i32.const 2)) (local.get $crc))
      (local.set $byte (i32.add (local.get $byte) (i32.const 1)))
      (br_if $bytes (i32.lt_u (local.get $byte) (i32.const 256)))))
  (start $make_table)
  ;; Where the host writes the input.
  (func (export "input") (result i32) (i32.const 1024))
  (func (export "transform") (param $len i32) (result i32 i32)
    (local $at i32) (local $end i32) (local $crc i32) (local $digit i32)
    (local.set $at (i32.const 1024))
    (local.set $end (i32.add (i32.const 1024) (local.get $len)))
    (local.set $crc (i32.const -1))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $crc
          (i32.xor
            (i32.shr_u (local.get $crc) (i32.const 8))
            (i32.load
              (i32.shl
                (i32.and
                  (i32.xor (local.get $crc) (i32.load8_u (local.get $at)))
                  (i32.const 0xff))
                (i32.const 2)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.set $crc (i32.xor (local.get $crc) (i32.const -1)))
    ;; Eight hexadecimal digits, the last one first.
    (local.set $at (i32.const 70008))
    (loop $digits
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (local.set $digit (i32.and (local.get $crc) (i32.const 15)))
      (i32.store8 (local.get $at)
        (i32.add
          (local.get $digit)
          (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
      (local.set $crc (i32.shr_u (local.get $crc) (i32.const 4)))
      (br_if $digits (i32.gt_u (local.get $at) (i32.const 70000))))
    (i32.const 70000) (i32.const 8)))
