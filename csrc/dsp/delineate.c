/* P, QRS and T of every beat in every lead. A record is cut at beats into pieces (the cut depends
 * on the beats alone); each piece runs the network on all its leads, decodes each lead, finds the
 * peaks and fuses the leads. */
#include "delineate.h"
#include "qrs.h"
#include <math.h>
#include <string.h>

typedef struct {
    const float *x, *w;
    size_t lead, t;
    double fs;
    const double *beats; /* at DELIN_RATE, all records */
    const int64_t *peaks, *start;
    const delin_piece *piece;
    int64_t *points;
} job;

static const double SHORTEST_QRS = 0.024; /* s */
static const double DEAD = 1e-4;          /* of the largest lead */

static float *rows_of(ek_arena *tmp, size_t n, size_t ch) {
    float *p = ek_arena_f32(tmp, (n + 2 * DELIN_PAD) * ch);
    if (p == NULL) return NULL;
    memset(p, 0, DELIN_PAD * ch * sizeof *p);
    memset(p + (DELIN_PAD + n) * ch, 0, DELIN_PAD * ch * sizeof *p);
    return p + DELIN_PAD * ch;
}

static int make_rows(ek_arena *tmp, size_t n4, delin_rows *r) {
    r->h1 = rows_of(tmp, 4 * n4, DELIN_A);
    r->h2 = rows_of(tmp, 2 * n4, DELIN_B);
    r->h3 = rows_of(tmp, n4, DELIN_B);
    return r->h1 != NULL && r->h2 != NULL && r->h3 != NULL;
}

/* The mean of h3 over live leads, times the mixing matrix, into add (n4, B). */
static void mix(const float *w, const delin_rows *keep, const unsigned char *live, size_t lead,
                size_t n4, float *mean, float *add) {
    const float *m = w + DW_MIX;
    size_t count = 0;
    memset(mean, 0, n4 * DELIN_B * sizeof *mean);
    for (size_t l = 0; l < lead; l++) {
        if (!live[l]) continue;
        count++;
        for (size_t i = 0; i < n4 * DELIN_B; i++) mean[i] += keep[l].h3[i];
    }
    for (size_t t = 0; t < n4; t++) {
        float *to = add + t * DELIN_B;
        memset(to, 0, DELIN_B * sizeof *to);
        for (size_t i = 0; i < DELIN_B; i++) {
            const float s = mean[t * DELIN_B + i] / (float)count;
            for (size_t c = 0; c < DELIN_B; c++) to[c] += s * m[i * DELIN_B + c];
        }
    }
}

/* Bounds (3, 2) at DELIN_RATE to the nine points of one beat in one lead. */
static void write_points(const job *j, const float *x, const float *y, const delin_piece *piece,
                         const double *bounds, int64_t *points) {
    const float *late = j->w + DW_LATE;
    const double step = j->fs / DELIN_RATE;
    for (size_t wave = 0; wave < 3; wave++) {
        int64_t *p = points + 3 * wave;
        double on = bounds[2 * wave], off = bounds[2 * wave + 1];
        if (!(off > on)) continue;
        if (wave == 1 && off - on < SHORTEST_QRS * DELIN_RATE) continue;
        on -= (double)late[3 * wave] * DELIN_RATE;
        off -= (double)late[3 * wave + 2] * DELIN_RATE;
        const int64_t a = (int64_t)nearbyint(on * step), b = (int64_t)nearbyint(off * step);
        if (a < 0 || b >= (int64_t)j->t || b - a < 2) continue;
        int64_t peak;
        if (wave == 1) {
            peak = delin_qrs_peak(x, j->t, a, b);
        } else {
            const double at = delin_bump_peak(y, piece->lo, piece->hi, on, off);
            peak = (int64_t)nearbyint((at - (double)late[3 * wave + 1] * DELIN_RATE) * step);
        }
        peak = peak <= a ? a + 1 : peak >= b ? b - 1 : peak;
        if (!isfinite(x[a]) || !isfinite(x[b]) || !isfinite(x[peak])) continue;
        p[0] = a;
        p[1] = peak;
        p[2] = b;
    }
}

static ek_status run_piece(const job *j, const delin_piece *piece, ek_arena *tmp) {
    static const struct {
        unsigned need;
        const delin_net *fn;
    } NET[] = {
        {EK_CPU_AVX512, &delin_net_avx512},
        {EK_CPU_AVX2,   &delin_net_avx2  },
        {0,             &delin_net_ref   },
    };
    const delin_net *net = EK_PICK(NET);
    const size_t n = (size_t)(piece->hi - piece->lo), n4 = (n + DELIN_ROW - 1) / DELIN_ROW;
    const size_t lead = j->lead, first = (size_t)j->start[piece->record];
    const size_t count = (size_t)j->start[piece->record + 1] - first;
    const size_t here = piece->last - piece->first + 1;
    const double *beats = j->beats + first;
    delin_rows *keep = ek_arena_alloc(tmp, lead, sizeof *keep), work;
    unsigned char *live = ek_arena_alloc(tmp, lead, 1);
    float *y = ek_arena_f32(tmp, lead * n), *z = ek_arena_f32(tmp, 8 * n4 + 2 * DELIN_STEM);
    float *phase = ek_arena_f32(tmp, 4 * n4 * DELIN_A), *mean = ek_arena_f32(tmp, n4 * DELIN_B);
    float *when = ek_arena_f32(tmp, 4 * n4 * DELIN_PHASE);
    float *add = ek_arena_f32(tmp, n4 * DELIN_B);
    float *score = ek_arena_f32(tmp, 4 * n4 * DELIN_CLASSES);
    double *bounds = ek_arena_f64(tmp, 6 * here), *scale = ek_arena_f64(tmp, lead);
    double *scratch = ek_arena_f64(tmp, delin_prepare_room(n, j->fs));
    unsigned char *path = ek_arena_alloc(tmp, 4 * n4, 8);
    float *raw = ek_arena_f32(tmp, lead * n);
    if (!keep || !live || !y || !z || !phase || !mean || !add || !score || !bounds || !scale ||
        !scratch || !path || !raw || !when || !make_rows(tmp, n4, &work))
        return EK_ENOMEM;
    const float *x = j->x + piece->record * lead * j->t;
    double largest = 0.0;
    size_t alive = 0;
    for (size_t l = 0; l < lead; l++) {
        scale[l] =
            delin_prepare(x + l * j->t, j->t, j->fs, piece, beats, y + l * n, raw + l * n, scratch);
        largest = fmax(largest, scale[l]);
    }
    delin_phase(beats, count, piece->lo, 4 * n4, when);
    net->phase(j->w, when, 4 * n4, phase);
    memset(z, 0, (8 * n4 + 2 * DELIN_STEM) * sizeof *z);
    for (size_t l = 0; l < lead; l++) {
        live[l] = scale[l] > DEAD * largest;
        if (!live[l]) continue;
        alive++;
        for (size_t i = 0; i < 8 * n4; i++)
            z[DELIN_STEM + i] = (float)(raw[l * n + (i < n ? i : n - 1)] / scale[l]);
        if (!make_rows(tmp, n4, &keep[l])) return EK_ENOMEM;
        net->encode(j->w, z + DELIN_STEM, phase, n4, &keep[l], &work);
    }
    int64_t *points = j->points + (first + piece->own_first) * (lead + 1) * EK_DELINEATE_POINTS;
    const size_t own = piece->own_last - piece->own_first + 1;
    const double *kept = bounds + 6 * (piece->own_first - piece->first);
    if (alive > 0) mix(j->w, keep, live, lead, n4, mean, add);
    for (size_t l = 0; l < lead; l++) {
        if (!live[l]) continue;
        net->score(j->w, add, n4, &keep[l], &work, score);
        delin_decode(score, j->w + DW_ENTRY, piece, n4, beats, bounds, path);
        for (size_t k = 0; k < own; k++)
            write_points(j, x + l * j->t, y + l * n, piece, kept + 6 * k,
                         points + (k * (lead + 1) + l) * EK_DELINEATE_POINTS);
    }
    for (size_t k = 0; k < own; k++) {
        int64_t *row = points + k * (lead + 1) * EK_DELINEATE_POINTS;
        delin_fuse(row, lead, j->fs, j->peaks[first + piece->own_first + k],
                   row + lead * EK_DELINEATE_POINTS);
    }
    return EK_OK;
}

static ek_status run_pieces(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const job *j = ctx;
    for (size_t i = begin; i < end; i++) {
        const size_t mark = ek_arena_mark(tmp);
        const ek_status st = run_piece(j, &j->piece[i], tmp);
        ek_arena_reset(tmp, mark);
        if (st != EK_OK) return st;
    }
    return EK_OK;
}

/* Pieces of one record: runs of beats without a gap, each cut into equal numbers of beats. */
static size_t cut(const double *beats, size_t count, size_t record, ptrdiff_t all,
                  delin_piece *out) {
    size_t pieces = 0;
    for (size_t a = 0; a < count;) {
        size_t b = a;
        while (b + 1 < count && beats[b + 1] - beats[b] <= 2 * DELIN_OPEN) b++;
        const size_t run = b - a + 1;
        size_t parts = (size_t)((beats[b] - beats[a]) / DELIN_PIECE + 0.5);
        parts = parts < 1 ? 1 : parts > run ? run : parts;
        for (size_t k = 0; k < parts; k++) {
            delin_piece p = {.record = record};
            p.own_first = a + k * run / parts;
            p.own_last = a + (k + 1) * run / parts - 1;
            p.open_start = p.own_first == a;
            p.open_end = p.own_last == b;
            p.first = p.open_start ? a : p.own_first - 1;
            p.last = p.open_end ? b : p.own_last + 1;
            const ptrdiff_t lo =
                (ptrdiff_t)beats[p.first] - (p.open_start ? DELIN_OPEN : 0) - DELIN_MARGIN;
            const ptrdiff_t hi =
                (ptrdiff_t)beats[p.last] + (p.open_end ? DELIN_OPEN : 0) + DELIN_MARGIN;
            p.lo = lo > 0 ? lo / DELIN_ROW * DELIN_ROW : 0;
            p.hi = hi < all ? hi : all;
            if (out != NULL) out[pieces] = p;
            pieces++;
        }
        a = b + 1;
    }
    return pieces;
}

size_t ek_dsp_delineate_weights(void) {
    return DW_TOTAL;
}

ek_status ek_dsp_delineate_f32(const float *x, size_t n, size_t lead, size_t t, double fs,
                               const int64_t *peaks, const int64_t *start, const float *w,
                               int64_t *points) {
    if (!(fs >= EK_RPEAKS_FS_MIN && fs <= EK_RPEAKS_FS_MAX)) return EK_EVALUE;
    const size_t total = (size_t)start[n];
    for (size_t i = 0; i < n; i++)
        for (int64_t b = start[i]; b < start[i + 1]; b++)
            if (peaks[b] < 0 || peaks[b] >= (int64_t)t ||
                (b > start[i] && peaks[b] <= peaks[b - 1]))
                return EK_EVALUE;
    for (size_t i = 0; i < total * (lead + 1) * EK_DELINEATE_POINTS; i++) points[i] = -1;
    if (total == 0 || lead == 0) return EK_OK;
    const ptrdiff_t all = (ptrdiff_t)qrs_length(t, fs);
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    ek_status st = EK_ENOMEM;
    double *beats = ek_arena_f64(tmp, total);
    size_t pieces = 0;
    if (beats == NULL) goto done;
    for (size_t b = 0; b < total; b++) {
        beats[b] = (double)peaks[b] * DELIN_RATE / fs;
        beats[b] = beats[b] < (double)(all - 1) ? beats[b] : (double)(all - 1);
    }
    for (size_t i = 0; i < n; i++)
        pieces += cut(beats + start[i], (size_t)(start[i + 1] - start[i]), i, all, NULL);
    delin_piece *piece = ek_arena_alloc(tmp, pieces, sizeof *piece);
    if (piece == NULL) goto done;
    pieces = 0;
    for (size_t i = 0; i < n; i++)
        pieces += cut(beats + start[i], (size_t)(start[i + 1] - start[i]), i, all, piece + pieces);
    job j = {x, w, lead, t, fs, beats, peaks, start, piece, points};
    st = ek_parallel_for(pieces, 1, run_pieces, &j);
done:
    ek_arena_return(tmp);
    return st;
}
