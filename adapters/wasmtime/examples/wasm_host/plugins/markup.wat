;; A little markup to HTML: lines that begin with "# " are headings, others paragraphs, *this* is emphasised,
;; and <, > and & are escaped.
(module
  (memory (export "memory") 4)
  (data (i32.const 0) "<h1></h1>\0a<p></p>\0a<em></em>&lt;&gt;&amp;")
  (global $out (mut i32) (i32.const 0))
  (func (export "input") (result i32) (i32.const 1024))
  ;; Appends what lies at $from.
  (func $put (param $from i32) (param $len i32)
    (memory.copy (global.get $out) (local.get $from) (local.get $len))
    (global.set $out (i32.add (global.get $out) (local.get $len))))
  (func $put_byte (param $byte i32)
    (i32.store8 (global.get $out) (local.get $byte))
    (global.set $out (i32.add (global.get $out) (i32.const 1))))
  ;; One byte of text; whether emphasis is on goes in and comes out.
  (func $text (param $byte i32) (param $emphasis i32) (result i32)
    (if (i32.eq (local.get $byte) (i32.const 42)) ;; *
      (then
        (if (local.get $emphasis)
          (then (call $put (i32.const 22) (i32.const 5)))
          (else (call $put (i32.const 18) (i32.const 4))))
        (return (i32.eqz (local.get $emphasis)))))
    (if (i32.eq (local.get $byte) (i32.const 60))
      (then (call $put (i32.const 27) (i32.const 4)))
      (else (if (i32.eq (local.get $byte) (i32.const 62))
        (then (call $put (i32.const 31) (i32.const 4)))
        (else (if (i32.eq (local.get $byte) (i32.const 38))
          (then (call $put (i32.const 35) (i32.const 5)))
          (else (call $put_byte (local.get $byte))))))))
    (local.get $emphasis))
  (func (export "transform") (param $len i32) (result i32 i32)
    (local $at i32) (local $end i32) (local $heading i32) (local $emphasis i32) (local $byte i32)
    (global.set $out (i32.const 131072))
    (local.set $at (i32.const 1024))
    (local.set $end (i32.add (i32.const 1024) (local.get $len)))
    (block $done
      (loop $lines
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        ;; "# ", as a little-endian number
        (local.set $heading (i32.eq (i32.load16_u (local.get $at)) (i32.const 0x2023)))
        (if (local.get $heading)
          (then
            (local.set $at (i32.add (local.get $at) (i32.const 2)))
            (call $put (i32.const 0) (i32.const 4)))
          (else (call $put (i32.const 10) (i32.const 3))))
        (local.set $emphasis (i32.const 0))
        (block $line_done
          (loop $bytes
            (br_if $line_done (i32.ge_u (local.get $at) (local.get $end)))
            (local.set $byte (i32.load8_u (local.get $at)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $line_done (i32.eq (local.get $byte) (i32.const 10)))
            (local.set $emphasis (call $text (local.get $byte) (local.get $emphasis)))
            (br $bytes)))
        ;; An emphasis that was left open ends with its line.
        (if (local.get $emphasis) (then (call $put (i32.const 22) (i32.const 5))))
        (if (local.get $heading)
          (then (call $put (i32.const 4) (i32.const 6)))
          (else (call $put (i32.const 13) (i32.const 5))))
        (br $lines)))
    (i32.const 131072) (i32.sub (global.get $out) (i32.const 131072))))
