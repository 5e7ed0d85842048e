/* merge_impl.h: the merge over the vectors that the including file defines:
 *   vf, VF, vf_zero vf_set1 vf_load vf_store vf_add vf_sub vf_mul vf_fma, vf_get vf_put (typed),
 *   vf_finite (bits), vf_equal (bits), vf_beyond (bits), vf_bring_back, vf_total
 * ROWS rows and NV vectors make a tile. Built without contraction: scale * sum is rounded before
 * it is added, as PEFT does it. */
#define ALWAYS static inline __attribute__((always_inline))
enum { COLUMNS = NV * VF };

/* One step of the sum. */
ALWAYS void step_of(const float *a, const float *b, vf acc[ROWS][NV]) {
    vf y[NV];
#pragma GCC unroll 4
    for (size_t v = 0; v < NV; v++) y[v] = vf_load(a + v * VF);
#pragma GCC unroll 16
    for (size_t i = 0; i < ROWS; i++) {
        const vf x = vf_set1(b[i]);
#pragma GCC unroll 4
        for (size_t v = 0; v < NV; v++) acc[i][v] = vf_fma(x, y[v], acc[i][v]);
    }
}

/* The first steps also ask for the lines of w that a later tile needs, one row each: rows are too
 * many streams for the hardware alone. Into the second cache: in the first they would push each
 * other out where a row is a power of two. */
ALWAYS void product(const float *a, const float *b, size_t k, vf acc[ROWS][NV], const char *ahead,
                    size_t row, size_t step) {
    const size_t first = ahead == NULL ? 0 : k < ROWS ? k : ROWS;
#pragma GCC unroll 16
    for (size_t i = 0; i < ROWS; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < NV; v++) acc[i][v] = vf_zero();
    size_t c = 0;
    for (; c < first; c++, a += COLUMNS, b += ROWS, ahead += row) {
#pragma GCC unroll 4
        for (size_t line = 0; line < step; line += 64) __builtin_prefetch(ahead + line, 0, 2);
        step_of(a, b, acc);
    }
    for (; c < k; c++, a += COLUMNS, b += ROWS) step_of(a, b, acc);
}

ALWAYS void sweep_of(const ek_lora_type type, const float *a, const float *b, size_t k, float scale,
                     const char *w, char *out, size_t ld, size_t tiles) {
    const size_t row = ld * EK_LORA_BYTES[type], step = COLUMNS * EK_LORA_BYTES[type];
    const vf s = vf_set1(scale);
    for (size_t t = 0; t < tiles; t++, a += k * COLUMNS, w += step, out += step) {
        vf acc[ROWS][NV];
        product(a, b, k, acc, w + AHEAD * step, row, step);
        const char *from = w;
        char *to = out;
#pragma GCC unroll 16
        for (size_t i = 0; i < ROWS; i++, from += row, to += row)
#pragma GCC unroll 4
            for (size_t v = 0; v < NV; v++) {
                const vf y = vf_mul(s, acc[i][v]);
                vf_put(to, type, v * VF, vf_add(vf_get(from, type, v * VF), y));
            }
    }
}

static void sweep_f32(const float *a, const float *b, size_t k, float scale, const void *w,
                      void *out, size_t ld, size_t tiles) {
    sweep_of(EK_LORA_F32, a, b, k, scale, w, out, ld, tiles);
}
static void sweep_bf16(const float *a, const float *b, size_t k, float scale, const void *w,
                       void *out, size_t ld, size_t tiles) {
    sweep_of(EK_LORA_BF16, a, b, k, scale, w, out, ld, tiles);
}
static void sweep_f16(const float *a, const float *b, size_t k, float scale, const void *w,
                      void *out, size_t ld, size_t tiles) {
    sweep_of(EK_LORA_F16, a, b, k, scale, w, out, ld, tiles);
}

static void delta(const float *a, const float *b, size_t k, float scale, int add, float *d) {
    vf acc[ROWS][NV];
    const vf s = vf_set1(scale);
    product(a, b, k, acc, NULL, 0, 0);
#pragma GCC unroll 16
    for (size_t i = 0; i < ROWS; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < NV; v++) {
            float *p = d + i * COLUMNS + v * VF;
            const vf y = vf_mul(s, acc[i][v]);
            vf_store(p, add ? vf_add(y, vf_load(p)) : y);
        }
}

typedef struct {
    vf delta2, weight2, error2;
    uint64_t unchanged, broken, clamped;
} tally;

/* One vector of one row: `live` marks the lanes that exist. */
ALWAYS vf finish_vector(const ek_lora_finish *f, vf w, vf d, vf gain, unsigned live, char *out,
                        tally *t) {
    if (f->round_delta) {
        char room[4 * VF];
        vf_put(room, f->w_type, 0, d);
        d = vf_get(room, f->w_type, 0);
    }
    const int gains = f->row_gain != NULL || f->col_gain != NULL;
    vf y = vf_add(w, d);
    if (gains) {
        y = vf_mul(gain, y);
        d = vf_sub(y, w);
    }
    if (f->clamp) {
        const vf largest = vf_set1(EK_LORA_LARGEST[f->out_type]);
        const unsigned beyond = vf_finite(y) & vf_beyond(y, largest);
        t->clamped += (unsigned)__builtin_popcount(beyond & live);
        y = vf_bring_back(y, largest, beyond);
    }
    vf_put(out, f->out_type, 0, y);
    if (f->stats != NULL) {
        y = vf_get(out, f->out_type, 0);
        const vf e = vf_sub(vf_sub(y, w), d);
        t->delta2 = vf_fma(d, d, t->delta2);
        t->weight2 = vf_fma(w, w, t->weight2);
        t->error2 = vf_fma(e, e, t->error2);
        t->unchanged += (unsigned)__builtin_popcount(vf_equal(y, w) & live);
        t->broken += (unsigned)__builtin_popcount(vf_finite(w) & ~vf_finite(y) & live);
    }
    return y;
}

static void finish(const ek_lora_finish *f) {
    const size_t w_size = EK_LORA_BYTES[f->w_type], out_size = EK_LORA_BYTES[f->out_type];
    const unsigned all = VF == 32 ? ~0u : (1u << VF) - 1u;
    tally t = {vf_zero(), vf_zero(), vf_zero(), 0, 0, 0};
    for (size_t i = 0; i < f->rows; i++) {
        const char *w_i = f->w + i * f->ld * w_size;
        char *out_i = f->out + i * f->ld * out_size;
        const float *d_i = f->d + i * f->ldd;
        const vf row_gain = vf_set1(f->row_gain != NULL ? f->row_gain[i] : 1.0f);
        for (size_t j = 0; j < f->columns; j += VF) {
            const size_t left = f->columns - j;
            if (left >= VF) {
                const vf gain =
                    f->col_gain != NULL ? vf_mul(row_gain, vf_load(f->col_gain + j)) : row_gain;
                finish_vector(f, vf_get(w_i, f->w_type, j), vf_load(d_i + j), gain, all,
                              out_i + j * out_size, &t);
                continue;
            }
            char w_room[4 * VF] = {0}, out_room[4 * VF];
            float d_room[VF] = {0}, gain_room[VF] = {0};
            memcpy(w_room, w_i + j * w_size, left * w_size);
            memcpy(d_room, d_i + j, left * sizeof *d_room);
            for (size_t c = 0; c < left; c++)
                gain_room[c] = f->col_gain != NULL ? f->col_gain[j + c] : 1.0f;
            finish_vector(f, vf_get(w_room, f->w_type, 0), vf_load(d_room),
                          vf_mul(row_gain, vf_load(gain_room)), (1u << left) - 1u, out_room, &t);
            memcpy(out_i + j * out_size, out_room, left * out_size);
        }
    }
    if (f->stats == NULL) return;
    f->stats->delta2 += vf_total(t.delta2);
    f->stats->weight2 += vf_total(t.weight2);
    f->stats->error2 += vf_total(t.error2);
    f->stats->unchanged += t.unchanged;
    f->stats->broken += t.broken;
    f->stats->clamped += t.clamped;
}
