;; A component: the greatest common divisor, by Euclid.
(component
  (core module $euclid
    (func (export "gcd") (param $a i32) (param $b i32) (result i32)
      (local $rest i32)
      (block $done
        (loop $next
          (br_if $done (i32.eqz (local.get $b)))
          (local.set $rest (i32.rem_u (local.get $a) (local.get $b)))
          (local.set $a (local.get $b))
          (local.set $b (local.get $rest))
          (br $next)))
      (local.get $a)))
  (core instance $instance (instantiate $euclid))
  (func (export "gcd") (param "a" u32) (param "b" u32) (result u32)
    (canon lift (core func $instance "gcd"))))
