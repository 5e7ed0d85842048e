/* The merge by dot products of bfloat16: which factors allow it, and its panels. */
#include "lora_kern.h"

enum { ROWS = EK_LORA_DOT_ROWS, COLUMNS = EK_LORA_DOT_COLUMNS, PIECE_WORK = 1 << 22 };

/* Smallest exponent field of count numbers, 256 for zeros alone; 0 where one is not bfloat16 or is
 * subnormal. */
static uint32_t smallest_exponent(const float *x, size_t count) {
    uint32_t least = 256, low = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t u = ek_lora_word(x[i]), e = u >> 23 & 255;
        const uint32_t here = u << 1 == 0 ? 256 : e;
        low |= u & 0xffff;
        least = here < least ? here : least;
    }
    return low ? 0 : least;
}

/* No product or sum of products is subnormal: the smallest term is at least 2^(ea + eb - 254), its
 * last bit 14 lower, and all sums are multiples of such bits. */
int ek_lora_dots_exact(const ek_lora_pair *p, size_t m, size_t n) {
    const uint32_t a = smallest_exponent(p->a, p->r * n);
    if (a == 0) return 0;
    const uint32_t b = smallest_exponent(p->b, m * p->r);
    return b != 0 && a + b >= 254 - 126 + 14;
}

/* Two steps in a word, the earlier one in its upper half. */
static uint32_t word_of(float first, float second) {
    return (ek_lora_word(first) & 0xffff0000u) | ek_lora_word(second) >> 16;
}

typedef struct {
    const ek_lora_job *job;
    size_t steps, panels, grain; /* pairs of steps */
    uint32_t *packed;            /* (panels, steps, 2, 16): even columns, then odd ones */
} dots_run;

static ek_status pack_dots(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const dots_run *d = ctx;
    const ek_lora_pair *p = d->job->pair;
    const size_t n = d->job->n;
    (void)tmp;
    for (size_t panel = begin; panel < end; panel++) {
        uint32_t *to = d->packed + panel * d->steps * COLUMNS;
        for (size_t c = 0; c < d->steps; c++, to += COLUMNS)
            for (size_t v = 0; v < COLUMNS; v++) {
                const size_t j = panel * COLUMNS + v;
                const int live = j < n, two = live && 2 * c + 1 < p->r;
                const float x = live ? p->a[2 * c * n + j] : 0.0f;
                to[v % 2 * (COLUMNS / 2) + v / 2] =
                    word_of(x, two ? p->a[(2 * c + 1) * n + j] : 0.0f);
            }
    }
    return EK_OK;
}

static ek_status merge_dots(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const dots_run *d = ctx;
    const ek_lora_job *job = d->job;
    const ek_lora_pair *p = job->pair;
    const size_t mark = ek_arena_mark(tmp), n = job->n, whole = n / COLUMNS;
    uint32_t *b = ek_arena_alloc(tmp, d->steps * ROWS + 1, sizeof *b);
    if (b == NULL) return EK_ENOMEM;
    for (size_t i = begin; i < end; i += ROWS) {
        const size_t live = end - i < ROWS ? end - i : ROWS;
        for (size_t c = 0; c < d->steps; c++)
            for (size_t v = 0; v < ROWS; v++) {
                const float *x = p->b + (i + v) * p->r + 2 * c;
                b[c * ROWS + v] = v < live ? word_of(x[0], 2 * c + 1 < p->r ? x[1] : 0.0f) : 0;
            }
        const uint16_t *w = (const uint16_t *)job->w + i * n;
        uint16_t *out = (uint16_t *)job->out + i * n;
        size_t panel = 0;
        if (live == ROWS) {
            ek_lora_dots_avx512(d->packed, b, d->steps, p->scale, w, out, n, whole);
            panel = whole;
        }
        for (; panel < d->panels; panel++) { /* through a whole tile */
            uint16_t room[ROWS * COLUMNS] = {0};
            const size_t j = panel * COLUMNS, width = n - j < COLUMNS ? n - j : COLUMNS;
            for (size_t v = 0; v < live; v++)
                memcpy(room + v * COLUMNS, w + v * n + j, width * sizeof *w);
            ek_lora_dots_avx512(d->packed + panel * d->steps * COLUMNS, b, d->steps, p->scale, room,
                                room, COLUMNS, 1);
            for (size_t v = 0; v < live; v++)
                memcpy(out + v * n + j, room + v * COLUMNS, width * sizeof *out);
        }
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

ek_status ek_lora_merge_dots(const ek_lora_job *job, ek_arena *own) {
    dots_run d = {.job = job, .steps = (job->pair->r + 1) / 2};
    d.panels = (job->n + COLUMNS - 1) / COLUMNS;
    if (d.steps > SIZE_MAX / COLUMNS / d.panels) return EK_ENOMEM;
    d.packed = ek_arena_alloc(own, d.panels * d.steps * COLUMNS + 1, sizeof *d.packed);
    if (d.packed == NULL) return EK_ENOMEM;
    const ek_status st =
        ek_parallel_for(d.panels, 1 + 65536 / (d.steps * COLUMNS + 1), pack_dots, &d);
    if (st != EK_OK) return st;
    d.grain = (PIECE_WORK / (job->n * (job->pair->r + 8)) / ROWS + 1) * ROWS;
    return ek_parallel_for(job->m, d.grain, merge_dots, &d);
}
