/* tile_impl.h: the product that everything rests on, written over vec_*.h and built once per
 * instruction set. */
#define ALWAYS static inline __attribute__((always_inline))

/* rows and nv are constants at every call, so the loops over them unroll and acc stays in
 * registers. */
ALWAYS void tile_of(const ek_tile *t, const size_t rows, const size_t nv) {
    vf acc[EK_TILE_ROWS][2];
    _Alignas(64) float before[EK_TILE_ROWS * 2 * VF]; /* sums of earlier runs */
    const float *a[EK_TILE_ROWS];
    const float *b = t->b, *ahead = t->ahead != NULL ? t->ahead : b;
#pragma GCC unroll 16
    for (size_t r = 0; r < rows; r++) {
        a[r] = t->a[r] + t->a_off;
#pragma GCC unroll 2
        for (size_t v = 0; v < nv; v++) acc[r][v] = vf_set1(0.0f);
    }
    if (t->fold) {
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 2
            for (size_t v = 0; v < nv; v++) vf_store(before + (r * 2 + v) * VF, vf_set1(0.0f));
        }
    }
    for (size_t k = 0; k < t->runs; k++) {
        const ptrdiff_t begin = t->run[k].offset, end = begin + t->run[k].length;
        for (ptrdiff_t j = begin; j < end; j++) {
            vf w[2];
#pragma GCC unroll 2
            for (size_t v = 0; v < nv; v++) w[v] = vf_load(b + v * VF);
            b += nv * VF;
            if (nv > 1) { /* to the second cache */
                __builtin_prefetch(ahead, 0, 2);
                ahead += t->ahead_step;
            }
#pragma GCC unroll 16
            for (size_t r = 0; r < rows; r++) {
                const vf x = vf_bcast(a[r] + j);
#pragma GCC unroll 2
                for (size_t v = 0; v < nv; v++) acc[r][v] = vf_fma(x, w[v], acc[r][v]);
            }
        }
        if (!t->fold || k + 1 == t->runs) continue;
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 2
            for (size_t v = 0; v < nv; v++) {
                float *sum = before + (r * 2 + v) * VF;
                vf_store(sum, vf_add(vf_load(sum), acc[r][v]));
                acc[r][v] = vf_set1(0.0f);
            }
        }
    }
    if (t->fold) {
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 2
            for (size_t v = 0; v < nv; v++)
                acc[r][v] = vf_add(vf_load(before + (r * 2 + v) * VF), acc[r][v]);
        }
    }
    if (t->from != NULL) {
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 2
            for (size_t v = 0; v < nv; v++)
                acc[r][v] = vf_add(acc[r][v], vf_load(t->from + (r * 2 + v) * VF));
        }
    }
    if (t->to != NULL) {
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 2
            for (size_t v = 0; v < nv; v++) vf_store(t->to + (r * 2 + v) * VF, acc[r][v]);
        }
        return;
    }
    const vf lo = vf_set1(t->lo), hi = vf_set1(t->hi);
    const size_t last = t->columns - (nv - 1) * VF; /* columns of the last vector */
#pragma GCC unroll 16
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (size_t v = 0; v < nv; v++) {
            float *c = t->c[r] + t->c_off + (ptrdiff_t)v * t->c_step;
            vf y = vf_add(acc[r][v], vf_load(t->bias + v * VF)); /* last: small sums keep digits */
            if (t->res != NULL) {
                const float *p = t->res[r] + t->res_off + (ptrdiff_t)v * t->res_step;
                y = vf_add(y, v + 1 == nv ? vf_load_n(p, last) : vf_load(p));
            }
            y = vf_min(hi, vf_max(lo, y));
            if (v + 1 == nv && last < VF)
                vf_store_n(c, y, last);
            else
                vf_store(c, y);
        }
    }
}

#define EK_TILE_CASE(R)                                                                            \
    case R:                                                                                        \
        if (t->columns > VF)                                                                       \
            tile_of(t, R, 2);                                                                      \
        else                                                                                       \
            tile_of(t, R, 1);                                                                      \
        break;
