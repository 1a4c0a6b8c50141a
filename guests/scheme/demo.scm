; What `make demo` runs inside wasmo.

; Double recursion.
(define (fib n)
  (if (< n 2)
      n
      (+ (fib (- n 1)) (fib (- n 2)))))

(display "fib(30)       = ")
(display (fib 30))
(newline)

; Mutual recursion in constant space: every call is a tail call.
(define answer
  (letrec ((even? (lambda (n) (if (= n 0) #t (odd? (- n 1)))))
           (odd? (lambda (n) (if (= n 0) #f (even? (- n 1))))))
    (even? 1000000)))

(display "even? 1000000 = ")
(display answer)
(newline)

; Lists, and procedures that take procedures.
(define numbers '(31 4 15 92 65 35 89 79 3 23))
(display "sorted        = ")
(display (sort numbers <))
(newline)
(display "sum of squares of the odd ones = ")
(display (apply + (map (lambda (n) (* n n)) (filter odd? numbers))))
(newline)

; How many ways are there to put n queens on a board, so that none attacks another?
(define (queens board-size)
  (define (safe? row distance placed)
    (or (null? placed)
        (let ((other (car placed)))
          (and (not (= other row))
               (not (= other (+ row distance)))
               (not (= other (- row distance)))
               (safe? row (+ distance 1) (cdr placed))))))
  (let place ((column 0) (placed '()))
    (if (= column board-size)
        1
        (do ((row 0 (+ row 1))
             (found 0 (if (safe? row 1 placed)
                          (+ found (place (+ column 1) (cons row placed)))
                          found)))
            ((= row board-size) found)))))

(display "queens(8)     = ")
(display (queens 8))
(newline)
