#include "lora_kern.h"

enum {
    PIECE_WORK = 1 << 22,   /* multiply-adds of a piece, about */
    BLOCK_FLOATS = 1 << 16, /* of packed a that a sweep walks: stays in the second cache */
};

typedef struct {
    const ek_lora_job *job;
    const ek_lora_isa *isa;
    float *const *packed; /* of every pair: panels of (r, columns) */
    ek_lora_stats *stats; /* one of every piece; NULL: none */
    size_t grain, rank;
} merge_run;

typedef struct {
    const ek_lora_pair *pair;
    size_t n, columns;
    float *packed;
} pack_run;

static ek_status pack_panels(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const pack_run *p = ctx;
    const size_t r = p->pair->r, columns = p->columns;
    (void)tmp;
    for (size_t panel = begin; panel < end; panel++) {
        const size_t j0 = panel * columns, left = p->n - j0;
        const size_t width = left < columns ? left : columns;
        float *to = p->packed + panel * r * columns;
        for (size_t c = 0; c < r; c++, to += columns) {
            memcpy(to, p->pair->a + c * p->n + j0, width * sizeof *to);
            memset(to + width, 0, (columns - width) * sizeof *to);
        }
    }
    return EK_OK;
}

/* b of `rows` rows from row i on, k-major, zeros below the last row. */
static void pack_rows(const ek_lora_pair *p, size_t i, size_t live, size_t rows, float *to) {
    for (size_t c = 0; c < p->r; c++)
        for (size_t j = 0; j < rows; j++)
            to[c * rows + j] = j < live ? p->b[(i + j) * p->r + c] : 0.0f;
}

/* One tile, any size, any options. */
static void tile(const merge_run *m, size_t i, size_t live, size_t panel, float *const *b,
                 ek_lora_stats *stats) {
    const ek_lora_job *job = m->job;
    const size_t columns = m->isa->columns, j = panel * columns;
    float d[EK_LORA_MAX_ROWS * EK_LORA_MAX_COLUMNS] __attribute__((aligned(64)));
    for (size_t p = 0; p < job->pairs; p++) {
        const size_t r = job->pair[p].r;
        m->isa->delta(m->packed[p] + panel * r * columns, b[p], r, job->pair[p].scale, p > 0, d);
    }
    if (job->pairs == 0) memset(d, 0, sizeof d);
    const size_t at = i * job->n + j;
    const ek_lora_finish f = {
        .d = d,
        .w = (const char *)job->w + at * EK_LORA_BYTES[job->w_type],
        .out = (char *)job->out + at * EK_LORA_BYTES[job->out_type],
        .ldd = columns,
        .ld = job->n,
        .rows = live,
        .columns = job->n - j < columns ? job->n - j : columns,
        .w_type = job->w_type,
        .out_type = job->out_type,
        .row_gain = job->row_gain != NULL ? job->row_gain + i : NULL,
        .col_gain = job->col_gain != NULL ? job->col_gain + j : NULL,
        .round_delta = job->round_delta,
        .clamp = job->clamp,
        .stats = stats,
    };
    m->isa->finish(&f);
}

/* One pair, one type and nothing besides. */
static int is_plain(const ek_lora_job *job) {
    return job->pairs == 1 && job->w_type == job->out_type && !job->round_delta && !job->clamp &&
           job->row_gain == NULL && job->col_gain == NULL && job->stats == NULL;
}

static ek_status merge_rows(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const merge_run *m = ctx;
    const ek_lora_job *job = m->job;
    const size_t rows = m->isa->rows, columns = m->isa->columns;
    const size_t panels = (job->n + columns - 1) / columns, whole = job->n / columns;
    const int plain = is_plain(job) && m->isa->sweep[job->w_type] != NULL;
    ek_lora_stats *stats = m->stats != NULL ? m->stats + begin / m->grain : NULL;
    const size_t mark = ek_arena_mark(tmp);
    float **b = ek_arena_alloc(tmp, job->pairs + 1, sizeof *b);
    if (b == NULL) return EK_ENOMEM;
    for (size_t p = 0; p < job->pairs; p++)
        if ((b[p] = ek_arena_f32(tmp, job->pair[p].r * rows)) == NULL) return EK_ENOMEM;
    size_t block = BLOCK_FLOATS / (m->rank * columns + 1);
    if (block == 0) block = 1;
    for (size_t p0 = 0; p0 < panels; p0 += block) {
        const size_t p1 = p0 + block < panels ? p0 + block : panels;
        for (size_t i = begin; i < end; i += rows) {
            const size_t live = end - i < rows ? end - i : rows;
            for (size_t p = 0; p < job->pairs; p++) pack_rows(job->pair + p, i, live, rows, b[p]);
            size_t panel = p0;
            if (plain && live == rows && whole > p0) {
                const size_t stop = whole < p1 ? whole : p1, r = job->pair->r;
                const size_t at = (i * job->n + p0 * columns) * EK_LORA_BYTES[job->w_type];
                m->isa->sweep[job->w_type](m->packed[0] + p0 * r * columns, b[0], r,
                                           job->pair->scale, (const char *)job->w + at,
                                           (char *)job->out + at, job->n, stop - p0);
                panel = stop;
            }
            for (; panel < p1; panel++) tile(m, i, live, panel, b, stats);
        }
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

static ek_status merge_with(const ek_lora_job *job, const ek_lora_isa *isa, ek_arena *own) {
    const size_t panels = (job->n + isa->columns - 1) / isa->columns;
    merge_run m = {.job = job, .isa = isa};
    float **packed = ek_arena_alloc(own, job->pairs + 1, sizeof *packed);
    if (packed == NULL) return EK_ENOMEM;
    for (size_t p = 0; p < job->pairs; p++) {
        const size_t r = job->pair[p].r;
        m.rank += r;
        if (r > SIZE_MAX / (panels * isa->columns)) return EK_ENOMEM;
        packed[p] = ek_arena_f32(own, r * panels * isa->columns);
        if (packed[p] == NULL) return EK_ENOMEM;
        pack_run pack = {job->pair + p, job->n, isa->columns, packed[p]};
        const ek_status st =
            ek_parallel_for(panels, 1 + 65536 / (r * isa->columns + 1), pack_panels, &pack);
        if (st != EK_OK) return st;
    }
    m.packed = packed;
    /* Whole tiles; the cut is the same for any thread count. */
    const size_t per_row = job->n * (m.rank + 8);
    m.grain = (PIECE_WORK / per_row / isa->rows + 1) * isa->rows;
    const size_t pieces = (job->m + m.grain - 1) / m.grain;
    if (job->stats != NULL) {
        m.stats = ek_arena_alloc(own, pieces, sizeof *m.stats);
        if (m.stats == NULL) return EK_ENOMEM;
        memset(m.stats, 0, pieces * sizeof *m.stats);
    }
    const ek_status st = ek_parallel_for(job->m, m.grain, merge_rows, &m);
    if (st != EK_OK || job->stats == NULL) return st;
    memset(job->stats, 0, sizeof *job->stats);
    for (size_t i = 0; i < pieces; i++) {
        job->stats->delta2 += m.stats[i].delta2;
        job->stats->weight2 += m.stats[i].weight2;
        job->stats->error2 += m.stats[i].error2;
        job->stats->unchanged += m.stats[i].unchanged;
        job->stats->broken += m.stats[i].broken;
        job->stats->clamped += m.stats[i].clamped;
    }
    return EK_OK;
}

ek_status ek_lora_merge(const ek_lora_job *job) {
    static const struct {
        unsigned need;
        const ek_lora_isa *fn;
    } ISA[] = {
        {EK_CPU_AVX512, &ek_lora_isa_avx512},
        {EK_CPU_AVX2,   &ek_lora_isa_avx2  },
        {0,             &ek_lora_isa_ref   },
    };
    if (job->w == job->out && job->w_type != job->out_type) return EK_EVALUE;
    if (job->stats != NULL) memset(job->stats, 0, sizeof *job->stats);
    if (job->m == 0 || job->n == 0) return EK_OK;
    ek_arena *own = ek_arena_borrow();
    if (own == NULL) return EK_ENOMEM;
    const size_t mark = ek_arena_mark(own);
    const int dots = job->w_type == EK_LORA_BF16 && is_plain(job) && ek_cpu_dots_bf16() &&
                     ek_lora_dots_exact(job->pair, job->m, job->n);
    const ek_status st = dots ? ek_lora_merge_dots(job, own) : merge_with(job, EK_PICK(ISA), own);
    ek_arena_reset(own, mark);
    ek_arena_return(own);
    return st;
}

void ek_lora_widen(const uint16_t *x, ek_lora_type type, size_t count, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = ek_lora_get((const char *)x, type, i);
}

uint64_t ek_lora_narrow(const float *x, ek_lora_type type, size_t count, uint16_t *out) {
    uint64_t lost = 0;
    for (size_t i = 0; i < count; i++) {
        const float y = ek_lora_put((char *)out, type, i, x[i]);
        lost += isfinite(x[i]) && !isfinite(y);
    }
    return lost;
}
