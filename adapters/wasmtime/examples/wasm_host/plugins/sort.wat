;; Sorts the bytes of its input, by heapsort: in place, and never slower than n log n.
(module
  (memory (export "memory") 2)
  (func $input (export "input") (result i32) (i32.const 1024))
  (func $get (param $at i32) (result i32)
    (i32.load8_u (i32.add (call $input) (local.get $at))))
  (func $swap (param $a i32) (param $b i32)
    (local $kept i32)
    (local.set $kept (call $get (local.get $a)))
    (i32.store8 (i32.add (call $input) (local.get $a)) (call $get (local.get $b)))
    (i32.store8 (i32.add (call $input) (local.get $b)) (local.get $kept)))
  ;; Lets the byte at $root sink to where no child is larger.
  (func $sink (param $root i32) (param $len i32)
    (local $child i32)
    (block $done
      (loop $deeper
        (local.set $child (i32.add (i32.shl (local.get $root) (i32.const 1)) (i32.const 1)))
        (br_if $done (i32.ge_u (local.get $child) (local.get $len)))
        (if (i32.lt_u (i32.add (local.get $child) (i32.const 1)) (local.get $len))
          (then
            (if (i32.gt_u
                  (call $get (i32.add (local.get $child) (i32.const 1)))
                  (call $get (local.get $child)))
              (then (local.set $child (i32.add (local.get $child) (i32.const 1)))))))
        (br_if $done (i32.ge_u (call $get (local.get $root)) (call $get (local.get $child))))
        (call $swap (local.get $root) (local.get $child))
        (local.set $root (local.get $child))
        (br $deeper))))
  (func (export "transform") (param $len i32) (result i32 i32)
    (local $at i32)
    (local.set $at (i32.shr_u (local.get $len) (i32.const 1)))
    (block $heap
      (loop $next
        (br_if $heap (i32.eqz (local.get $at)))
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (call $sink (local.get $at) (local.get $len))
        (br $next)))
    (local.set $at (local.get $len))
    (block $sorted
      (loop $next
        (br_if $sorted (i32.le_u (local.get $at) (i32.const 1)))
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (call $swap (i32.const 0) (local.get $at))
        (call $sink (i32.const 0) (local.get $at))
        (br $next)))
    (call $input) (local.get $len)))
