/* ops_impl.h: the other kernels over vec_*.h: depthwise rows, windows, LSTM blocks, rows of
 * numbers. */

/* EK_STRIP outputs of a depthwise row are computed at once; the including file sets it. */
enum { HALVES = EK_LANES / VF };

ALWAYS void dw_strip(const ek_dw_row *d, const float *x, float *out, size_t lane,
                     const size_t count) {
    vf acc[EK_STRIP];
    const float *w = d->w + lane;
#pragma GCC unroll 8
    for (size_t i = 0; i < count; i++) acc[i] = vf_load(d->bias + lane);
    for (size_t ky = 0; ky < d->kh; ky++) {
        const float *row = x + (ptrdiff_t)ky * d->tap_y + (ptrdiff_t)lane;
        for (size_t kx = 0; kx < d->kw; kx++, w += EK_LANES, row += d->tap_x) {
            const vf wv = vf_load(w);
#pragma GCC unroll 8
            for (size_t i = 0; i < count; i++)
                acc[i] = vf_fma(vf_load(row + (ptrdiff_t)i * d->step), wv, acc[i]);
        }
    }
    const vf lo = vf_set1(d->lo), hi = vf_set1(d->hi);
#pragma GCC unroll 8
    for (size_t i = 0; i < count; i++)
        vf_store(out + i * EK_LANES + lane, vf_min(hi, vf_max(lo, acc[i])));
}

static inline void dw_strips(const ek_dw_row *d, const float *x, float *out, size_t lane,
                             size_t count) {
    switch (count) {
    case 1: dw_strip(d, x, out, lane, 1); break;
    case 2: dw_strip(d, x, out, lane, 2); break;
    case 3: dw_strip(d, x, out, lane, 3); break;
    case 4: dw_strip(d, x, out, lane, 4); break;
    case 5: dw_strip(d, x, out, lane, 5); break;
    case 6: dw_strip(d, x, out, lane, 6); break;
#if EK_STRIP == 8
    case 7: dw_strip(d, x, out, lane, 7); break;
    case 8: dw_strip(d, x, out, lane, 8); break;
#endif
    }
}

static void dw_row(const ek_dw_row *d) { /* strips of nearly equal length */
    const size_t strips = (d->n + EK_STRIP - 1) / EK_STRIP;
    for (size_t i = 0; i < strips; i++) {
        const size_t begin = d->n * i / strips, end = d->n * (i + 1) / strips;
        for (size_t h = 0; h < HALVES; h++)
            dw_strips(d, d->x + (ptrdiff_t)begin * d->step, d->out + begin * EK_LANES, h * VF,
                      end - begin);
    }
}

static inline void put_lanes(float *out, size_t lane, vf v, size_t lanes) {
    if (lanes >= lane + VF)
        vf_store(out + lane, v);
    else if (lanes > lane)
        vf_store_n(out + lane, v, lanes - lane);
}

static void max_window(const ek_window *w) {
    for (size_t h = 0; h < HALVES; h++) {
        vf best = vf_set1(-__builtin_inff());
        for (size_t y = w->y0; y < w->y1; y++) {
            const float *row = w->x + (ptrdiff_t)y * w->pitch + h * VF;
            for (size_t i = w->x0; i < w->x1; i++) {
                const vf v = vf_load(row + i * EK_LANES);
                best = vf_where_nan(best, best, vf_max(best, v));
            }
        }
        put_lanes(w->out, h * VF, best, w->lanes);
    }
}

/* Sums of at most 64 terms are added up, so that the error of a long mean stays small. */
static void mean_window(const ek_window *w) {
    for (size_t h = 0; h < HALVES; h++) {
        vf total = vf_set1(0.0f);
        for (size_t y = w->y0; y < w->y1; y++) {
            const float *row = w->x + (ptrdiff_t)y * w->pitch + h * VF;
            for (size_t i = w->x0; i < w->x1;) {
                const size_t stop = w->x1 - i > 64 ? i + 64 : w->x1;
                vf part = vf_set1(0.0f);
                for (; i < stop; i++) part = vf_add(part, vf_load(row + i * EK_LANES));
                total = vf_add(total, part);
            }
        }
        put_lanes(w->out, h * VF, vf_mul(total, vf_set1(w->scale)), w->lanes);
    }
}

/* Columns first.. of the sums, nv vectors of them, whose weights lie `pitch` floats apart. */
ALWAYS void recur_of(const ek_recur *p, const float *w, ptrdiff_t pitch, size_t first,
                     const size_t rows, const size_t nv) {
    vf acc[EK_RECUR_ROWS][8];
    const ptrdiff_t step = p->backwards ? -1 : 1;
    ptrdiff_t at_h = 0;
    if (p->backwards) {
        at_h = (ptrdiff_t)p->hidden - 1;
        w += at_h * pitch;
        pitch = -pitch;
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < nv; v++) acc[r][v] = vf_set1(0.0f);
    }
    for (size_t k = 0; k < p->hidden; k++, w += pitch, at_h += step) {
        vf x[EK_RECUR_ROWS];
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) x[r] = vf_bcast(p->h[r] + at_h);
#pragma GCC unroll 8
        for (size_t v = 0; v < nv; v++) {
            const vf wv = vf_load(w + v * VF);
#pragma GCC unroll 8
            for (size_t r = 0; r < rows; r++) acc[r][v] = vf_fma(x[r], wv, acc[r][v]);
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < nv; v++) {
            const size_t at = first + v * VF, left = p->columns - at;
            const float *from = p->from[r] + at;
            vf_store(p->to[r] + at,
                     vf_add(acc[r][v], left < VF ? vf_load_n(from, left) : vf_load(from)));
        }
    }
}

/* Vectors of sums that stay in registers beside the weights, for 1 row and more. */
static const unsigned char RECUR_VECTORS[] = EK_RECUR_VECTORS;

#define EK_RECUR_CASE(R, V)                                                                        \
    case 16 * R + V:                                                                               \
        recur_of(p, w, pitch, first, R, V);                                                        \
        break;
#define EK_RECUR_TO_2(R) EK_RECUR_CASE(R, 1) EK_RECUR_CASE(R, 2)
#define EK_RECUR_TO_3(R) EK_RECUR_TO_2(R) EK_RECUR_CASE(R, 3)
#define EK_RECUR_TO_4(R) EK_RECUR_TO_3(R) EK_RECUR_CASE(R, 4)
#define EK_RECUR_TO_8(R)                                                                           \
    EK_RECUR_TO_4(R)                                                                               \
    EK_RECUR_CASE(R, 5) EK_RECUR_CASE(R, 6) EK_RECUR_CASE(R, 7) EK_RECUR_CASE(R, 8)

static void recur(const ek_recur *p) {
    const size_t vectors = (p->columns + VF - 1) / VF;
    const size_t panels = (vectors + EK_RECUR_PANEL - 1) / EK_RECUR_PANEL;
    for (size_t q = 0; q < panels; q++) {
        const size_t i = p->backwards ? panels - 1 - q : q;
        const size_t begin = vectors * i / panels, wide = vectors * (i + 1) / panels - begin;
        const size_t most = RECUR_VECTORS[p->rows - 1];
        const ptrdiff_t pitch = (ptrdiff_t)(wide * VF);
        for (size_t v = 0; v < wide; v += most) {
            const size_t nv = wide - v < most ? wide - v : most, first = (begin + v) * VF;
            const float *w = p->w + begin * VF * p->hidden + v * VF;
            switch (16 * p->rows + nv) { EK_RECUR_CASES }
        }
    }
}

/* Whole vectors, the lanes beyond n included: a masked store could not be forwarded to the loads of
 * the next product. */
static void lstm_cell(const float *sums, float *cell, float *h, size_t n) {
    for (size_t j = 0; j < n; j += VF) {
        const size_t first = j / 16 * 16, gate = n - first < 16 ? n - first : 16;
        const float *s = sums + 4 * first + j % 16;
        const vf i = vf_sigmoid(vf_load(s)), f = vf_sigmoid(vf_load(s + gate));
        const vf g = vf_tanh(vf_load(s + 2 * gate)), o = vf_sigmoid(vf_load(s + 3 * gate));
        const vf c = vf_fma(i, g, vf_mul(f, vf_load(cell + j)));
        vf_store(cell + j, c);
        vf_store(h + j, vf_mul(o, vf_tanh(c)));
    }
}

static void gru_cell(const float *sums, size_t gate, const float *xn, float *h, size_t n) {
    for (size_t j = 0; j < n; j += VF) {
        const size_t m = n - j < VF ? n - j : VF;
        const float *s = sums + j;
        const vf r = vf_sigmoid(vf_load(s)), z = vf_sigmoid(vf_load(s + gate));
        const vf fresh = vf_tanh(vf_fma(r, vf_load(s + 2 * gate), vf_load_n(xn + j, m)));
        vf_store(h + j, vf_fma(z, vf_sub(vf_load(h + j), fresh), fresh));
    }
}

static void act(ek_act kind, float param, float *x, size_t n) {
    const vf p = vf_set1(param);
    size_t i = 0;
    for (; i + VF <= n; i += VF) vf_store(x + i, vf_act(kind, p, vf_load(x + i)));
    if (i < n) vf_store_n(x + i, vf_act(kind, p, vf_load_n(x + i, n - i)), n - i);
}

static void add(const float *x, const float *y, float *out, size_t n) {
    size_t i = 0;
    for (; i + VF <= n; i += VF) vf_store(out + i, vf_add(vf_load(x + i), vf_load(y + i)));
    for (; i < n; i++) out[i] = x[i] + y[i];
}

static void mul(const float *x, const float *y, float *out, size_t n) {
    size_t i = 0;
    for (; i + VF <= n; i += VF) vf_store(out + i, vf_mul(vf_load(x + i), vf_load(y + i)));
    for (; i < n; i++) out[i] = x[i] * y[i];
}

static void affine16(const float *x, const float *scale, const float *shift, float *out, size_t n) {
    for (size_t h = 0; h < HALVES; h++) {
        const vf s = vf_load(scale + h * VF), t = vf_load(shift + h * VF);
        for (size_t i = 0; i < n; i++) {
            const size_t at = i * EK_LANES + h * VF;
            vf_store(out + at, vf_fma(vf_load(x + at), s, t));
        }
    }
}

static void pair_max(const float *x, float *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        for (size_t h = 0; h < HALVES; h++) {
            const vf a = vf_load(x + 2 * i * EK_LANES + h * VF);
            const vf b = vf_load(x + (2 * i + 1) * EK_LANES + h * VF);
            vf_store(out + i * EK_LANES + h * VF, vf_where_nan(a, a, vf_max(a, b)));
        }
}

static void softmax(const float *x, float *out, size_t n) {
    float top = -__builtin_inff();
    for (size_t i = 0; i < n; i++) top = x[i] > top || x[i] != x[i] ? x[i] : top;
    const vf t = vf_set1(top);
    double sum = 0.0; /* double: an f32 sum of many small terms loses digits */
    for (size_t i = 0; i < n; i += VF) {
        const size_t m = n - i < VF ? n - i : VF;
        float part[VF];
        const vf e = vf_exp(vf_sub(vf_load_n(x + i, m), t));
        vf_store_n(out + i, e, m);
        vf_store(part, e);
        for (size_t j = 0; j < m; j++) sum += (double)part[j];
    }
    const vf inverse = vf_set1((float)(1.0 / sum));
    for (size_t i = 0; i < n; i += VF) {
        const size_t m = n - i < VF ? n - i : VF;
        vf_store_n(out + i, vf_mul(vf_load_n(out + i, m), inverse), m);
    }
}

/* Four chains of sums, so that the error of a long row stays small and no addition waits. */
ALWAYS float row_sum(const float *x, size_t n, const vf mean, const int squares) {
    vf sum[4] = {vf_set1(0.0f), vf_set1(0.0f), vf_set1(0.0f), vf_set1(0.0f)};
    size_t i = 0;
    for (; i + 4 * VF <= n; i += 4 * VF)
#pragma GCC unroll 4
        for (size_t c = 0; c < 4; c++) {
            const vf v = vf_load(x + i + c * VF), y = vf_sub(v, mean);
            sum[c] = squares ? vf_fma(y, y, sum[c]) : vf_add(sum[c], v);
        }
    for (; i < n; i += VF) {
        const size_t m = n - i < VF ? n - i : VF;
        const vf v = vf_load_n(x + i, m), y = vf_first(vf_sub(v, mean), m, vf_set1(0.0f));
        sum[0] = squares ? vf_fma(y, y, sum[0]) : vf_add(sum[0], v);
    }
    return vf_sum(vf_add(vf_add(sum[0], sum[1]), vf_add(sum[2], sum[3])));
}

static void layer_norm(const float *x, const float *scale, const float *shift, float eps,
                       float *out, size_t n) {
    const vf zero = vf_set1(0.0f);
    /* the mean of what the first mean leaves makes up for its rounding */
    const float first = row_sum(x, n, zero, 0) / (float)n;
    float left = 0.0f;
    {
        const vf m = vf_set1(first);
        vf sum = zero;
        for (size_t i = 0; i < n; i += VF) {
            const size_t k = n - i < VF ? n - i : VF;
            sum = vf_add(sum, vf_first(vf_sub(vf_load_n(x + i, k), m), k, zero));
        }
        left = vf_sum(sum) / (float)n;
    }
    const vf m = vf_set1(first + left);
    const float variance = row_sum(x, n, m, 1) / (float)n;
    const vf inverse = vf_set1((float)(1.0 / __builtin_sqrt((double)variance + (double)eps)));
    for (size_t i = 0; i < n; i += VF) {
        const size_t k = n - i < VF ? n - i : VF;
        const vf y = vf_mul(vf_sub(vf_load_n(x + i, k), m), inverse);
        vf_store_n(out + i, vf_fma(y, vf_load_n(scale + i, k), vf_load_n(shift + i, k)), k);
    }
}
