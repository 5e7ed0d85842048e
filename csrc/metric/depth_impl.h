/* How deep the last true label of a record lies. ISA names the variant, whose flags widen the
 * loops. */
#define DEPTH(FLOAT, suffix)                                                                       \
    int NAME(ek_metric_depth_##suffix)(const uint8_t *y, const FLOAT *s, size_t n, size_t c,       \
                                       double *out) {                                              \
        int broken = 0;                                                                            \
        for (size_t i = 0; i < n; i++, y += c, s += c, out += 3) {                                 \
            FLOAT least = (FLOAT)INFINITY;                                                         \
            int truth = 0, deep = 0;                                                               \
            _Pragma(                                                                               \
                "omp simd reduction(min : least) reduction(| : truth, broken)") for (size_t at =   \
                                                                                         0;        \
                                                                                     at < c;       \
                                                                                     at++) {       \
                const FLOAT here = y[at] ? s[at] : (FLOAT)INFINITY;                                \
                least = here < least ? here : least;                                               \
                truth |= y[at];                                                                    \
                broken |= s[at] != s[at];                                                          \
            }                                                                                      \
            _Pragma("omp simd reduction(+ : deep)") for (size_t at = 0; at < c; at++) deep +=      \
                s[at] >= least;                                                                    \
            out[0] = 0.0;                                                                          \
            out[1] = truth ? deep : 0;                                                             \
            out[2] = 1.0;                                                                          \
        }                                                                                          \
        return broken;                                                                             \
    }
#ifndef OWN_F32
DEPTH(float, f32)
#endif
DEPTH(double, f64)
