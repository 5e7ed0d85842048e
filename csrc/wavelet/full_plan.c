/* The plan of the full-rate kernels. */
#include "full.h"
#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

/* Nanoseconds, measured: an FFT of L points and the interpolation of t outputs. */
static double cost(size_t length, size_t taps, size_t t) {
    const double n = (double)length;
    return 0.16 * n * log2(n + 1.0) + n +
           (taps ? (double)t * (0.06 * (double)taps + 0.15) : 0.3 * (double)t);
}

static size_t choose(const ek_wavelet_bank *bank, double deviation, size_t *order) {
    const size_t nfft = bank->nfft;
    size_t best = nfft;
    double least = cost(nfft, 0, bank->t);
    *order = 0;
    for (size_t r = 2; nfft / r >= 16; r++) {
        const size_t length = nfft / r;
        if (nfft % r != 0 || ek_fft_good_size(length) != length) continue;
        for (size_t k = 0; k < EK_LANE_ORDERS; k++) {
            const double c = cost(length, ek_lane_order_taps(k), bank->t);
            if (ek_lane_order_span(k) * (deviation + 0.4) > (double)length || c >= least) continue;
            least = c;
            best = length;
            *order = k;
        }
    }
    return best;
}

static size_t gcd(size_t a, size_t b) {
    while (b != 0) {
        const size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static ek_status table_make(const ek_wavelet_bank *bank, size_t length, size_t order,
                            ek_full_table *table, ek_arena *memory) {
    const size_t r = bank->nfft / length, wide = EK_FULL_WIDE,
                 vectors = (bank->t + wide - 1) / wide;
    *table = (ek_full_table){.length = length, .order = order, .bank = bank};
    const ek_status st = ek_fft_get(EK_FFT_BACKWARD, EK_FFT_F32, length, &table->backward);
    if (st != EK_OK || r == 1) return st;
    table->taps = ek_lane_order_taps(order);
    table->patterns = r / gcd(r, wide);
    const size_t begin = bank->left / r;
    table->start = (begin + length - (table->taps / 2 - 1)) % length;
    table->count = (bank->left + vectors * wide) / r - begin + table->taps + 1;
    table->base = ek_arena_alloc(memory, vectors, sizeof *table->base);
    table->index = ek_arena_alloc(memory, table->patterns * wide, sizeof *table->index);
    table->tap = ek_arena_f32(memory, table->patterns * table->taps * wide);
    if (table->base == NULL || table->index == NULL || table->tap == NULL) return EK_ENOMEM;
    for (size_t v = 0; v < vectors; v++)
        table->base[v] = (uint32_t)((bank->left + v * wide) / r - begin);
    for (size_t p = 0; p < table->patterns; p++)
        for (size_t l = 0; l < wide; l++) {
            const size_t phase = (bank->left + p * wide) % r + l;
            float tap[EK_LANE_MOST_TAPS];
            ek_lane_taps_at((double)(phase % r) / (double)r, order, tap);
            table->index[p * wide + l] = (uint32_t)(phase / r);
            for (size_t k = 0; k < table->taps; k++)
                table->tap[(p * table->taps + k) * wide + l] = tap[k];
        }
    return EK_OK;
}

ek_status ek_full_make(ek_lane_plan *plan) {
    const ek_wavelet_spec *spec = plan->key.spec;
    ek_arena *memory = plan->memory;
    ek_full *full = ek_arena_alloc(memory, 1, sizeof *full);
    if (full == NULL) return EK_ENOMEM;
    *full = (ek_full){0};
    plan->full = full;
    full->table = ek_arena_alloc(memory, spec->rows, sizeof *full->table);
    full->row = ek_arena_alloc(memory, spec->rows, sizeof *full->row);
    if (full->table == NULL || full->row == NULL) return EK_ENOMEM;
    for (int near = 0; near <= (plan->near_bins > 0); near++) {
        const size_t nfft = near ? plan->near.nfft : plan->bank.nfft;
        full->turn[near] = ek_arena_f32(memory, 2 * nfft);
        if (full->turn[near] == NULL) return EK_ENOMEM;
        for (size_t k = 0; k < nfft; k++) {
            full->turn[near][2 * k] = (float)cos(2.0 * PI * (double)k / (double)nfft);
            full->turn[near][2 * k + 1] = (float)sin(2.0 * PI * (double)k / (double)nfft);
        }
    }
    for (size_t j = 0; j < spec->rows; j++) {
        const int near = plan->near_bins > 0 && ek_lane_fits_near(plan, spec->freqs[j]);
        const ek_wavelet_bank *bank = near ? &plan->near : &plan->bank;
        const ek_wavelet_row *from = &bank->row[j];
        const double centre = spec->freqs[j] * (double)bank->nfft / spec->fs;
        size_t order, k = 0;
        const size_t length = choose(bank, centre / spec->w0, &order);
        while (k < full->tables && (full->table[k].length != length ||
                                    full->table[k].bank != bank || full->table[k].order != order))
            k++;
        if (k == full->tables) {
            full->tables++;
            const ek_status st = table_make(bank, length, order, &full->table[k], memory);
            if (st != EK_OK) return st;
        }
        const ek_full_table *table = &full->table[k];
        full->row[j] = (ek_full_row){table,
                                     from->first,
                                     from->count,
                                     bank->w32 + from->at,
                                     table->taps ? (size_t)lround(centre) : 0,
                                     near};
        if (length > full->longest) full->longest = length;
        if (table->count > full->most_count) full->most_count = table->count;
    }
    return EK_OK;
}

void ek_full_free(ek_lane_plan *plan) {
    for (size_t k = 0; plan->full && k < plan->full->tables; k++)
        ek_fft_put(plan->full->table[k].backward);
}
