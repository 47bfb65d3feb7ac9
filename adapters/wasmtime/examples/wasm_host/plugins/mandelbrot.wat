;; The Mandelbrot set in 64 columns and 20 rows of text; the input is not looked at.
(module
  (memory (export "memory") 2)
  (data (i32.const 0) " .:-=+*%#@")
  (func (export "input") (result i32) (i32.const 1024))
  ;; After how many steps the point is far away, up to 90.
  (func $steps (param $cx f64) (param $cy f64) (result i32)
    (local $x f64) (local $y f64) (local $xx f64) (local $yy f64) (local $step i32)
    (block $far
      (loop $next
        (local.set $xx (f64.mul (local.get $x) (local.get $x)))
        (local.set $yy (f64.mul (local.get $y) (local.get $y)))
        (br_if $far (f64.gt (f64.add (local.get $xx) (local.get $yy)) (f64.const 4)))
        (local.set $y
          (f64.add (f64.mul (f64.mul (f64.const 2) (local.get $x)) (local.get $y)) (local.get $cy)))
        (local.set $x (f64.add (f64.sub (local.get $xx) (local.get $yy)) (local.get $cx)))
        (local.set $step (i32.add (local.get $step) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $step) (i32.const 90)))))
    (local.get $step))
  (func (export "transform") (param $len i32) (result i32 i32)
    (local $column i32) (local $row i32) (local $out i32)
    (local.set $out (i32.const 65536))
    (loop $rows
      (local.set $column (i32.const 0))
      (loop $columns
        (i32.store8 (local.get $out)
          (i32.load8_u
            (i32.div_u
              (call $steps
                (f64.add (f64.const -2.1)
                  (f64.mul (f64.convert_i32_u (local.get $column)) (f64.const 0.046875)))
                (f64.add (f64.const -1.2)
                  (f64.mul (f64.convert_i32_u (local.get $row)) (f64.const 0.12))))
              (i32.const 10))))
        (local.set $out (i32.add (local.get $out) (i32.const 1)))
        (local.set $column (i32.add (local.get $column) (i32.const 1)))
        (br_if $columns (i32.lt_u (local.get $column) (i32.const 64))))
      (i32.store8 (local.get $out) (i32.const 10))
      (local.set $out (i32.add (local.get $out) (i32.const 1)))
      (local.set $row (i32.add (local.get $row) (i32.const 1)))
      (br_if $rows (i32.lt_u (local.get $row) (i32.const 20))))
    (i32.const 65536) (i32.sub (local.get $out) (i32.const 65536))))
