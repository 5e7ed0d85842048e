/* Figures of merit on odd sizes, arrays between guard pages, every variant against the reference or
 * the definition. */
#include "ek_test.h"
#include "ek_metric.h"

enum { MOST_SETS = 3 };
static const unsigned SETS[MOST_SETS] = {0, EK_CPU_AVX2, EK_CPU_AVX2 | EK_CPU_AVX512};

static int usable(size_t set) {
    if ((SETS[set] & ek_cpu_available()) != SETS[set]) return 0;
    ek_cpu_use(SETS[set]);
    return 1;
}

static void coverage_of(size_t n, size_t c, int at_end) {
    ek_guard y = ek_guarded(n * c, at_end), s = ek_guarded(n * c * sizeof(float), at_end),
             out = ek_guarded(3 * n * sizeof(double), at_end);
    uint8_t *label = y.p;
    float *score = s.p;
    ek_noise(score, n * c, 5);
    for (size_t i = 0; i < n * c; i++) {
        label[i] = (i * 7 + i / 3) % 4 == 0;
        score[i] = floorf(score[i] * 8.0f); /* ties */
    }
    for (size_t set = 0; set < MOST_SETS; set++) {
        if (!usable(set)) continue;
        memset(out.p, 0xff, 3 * n * sizeof(double));
        CHECK_STATUS(ek_metric_ranking_f32(label, score, n, c, 1, out.p), EK_OK);
        for (size_t i = 0; i < n; i++) {
            double deep = 0.0;
            for (size_t at = 0; at < c; at++) {
                if (!label[i * c + at]) continue;
                double here = 0.0;
                for (size_t v = 0; v < c; v++) here += score[i * c + v] >= score[i * c + at];
                deep = here > deep ? here : deep;
            }
            CHECK(((double *)out.p)[3 * i + 1] == deep);
        }
        const float kept = score[n * c - 1];
        score[n * c - 1] = NAN;
        CHECK_STATUS(ek_metric_ranking_f32(label, score, n, c, 1, out.p), EK_EVALUE);
        score[n * c - 1] = kept;
    }
    ek_cpu_use(~0u);
    ek_unguard(&y), ek_unguard(&s), ek_unguard(&out);
}

static void coverage(void) {
    for (int at_end = 0; at_end < 2; at_end++)
        for (size_t c = 1; c <= 70; c += c < 18 ? 1 : 13) coverage_of(5, c, at_end);
}

static void rows(void) {
    for (int at_end = 0; at_end < 2; at_end++)
        for (size_t t = 1; t <= 150; t += t < 40 ? 1 : 11) {
            ek_guard x = ek_guarded(2 * t * sizeof(float), at_end),
                     y = ek_guarded(2 * t * sizeof(float), at_end),
                     out = ek_guarded(10 * sizeof(double), at_end);
            ek_noise(x.p, 2 * t, 1);
            ek_noise(y.p, 2 * t, 2);
            double apart = 0.0, square = 0.0;
            for (size_t i = t; i < 2 * t; i++) {
                const double a = ((float *)x.p)[i], e = a - ((float *)y.p)[i];
                apart += e * e;
                square += a * a;
            }
            for (size_t set = 0; set < MOST_SETS; set++)
                for (int about = 0; about < 2 && usable(set); about++) {
                    CHECK_STATUS(ek_metric_rows_f32(x.p, y.p, 2, t, about, out.p), EK_OK);
                    CHECK_CLOSE(((double *)out.p)[5], apart, 1e-12 * (1.0 + apart));
                    CHECK_CLOSE(((double *)out.p)[6], square, 1e-12 * (1.0 + square));
                }
            ek_cpu_use(~0u);
            ek_unguard(&x), ek_unguard(&y), ek_unguard(&out);
        }
}

/* A picture against itself is 1, and against another what the definition gives. */
static double by_definition(const ek_metric_ssim *s, const double *x, const double *y) {
    const size_t rows = s->h - s->taps + 1, columns = s->w - s->taps + 1;
    double total = 0.0;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            double mu = 0.0, mv = 0.0, uu = 0.0, vv = 0.0, uv = 0.0;
            for (size_t a = 0; a < s->taps; a++)
                for (size_t b = 0; b < s->taps; b++) {
                    const double g = s->weight[a] * s->weight[b];
                    const double p = x[(i + a) * s->w + j + b], q = y[(i + a) * s->w + j + b];
                    mu += g * p, mv += g * q, uu += g * p * p, vv += g * q * q, uv += g * p * q;
                }
            total +=
                ((2 * mu * mv + s->c1) * (2 * s->norm * (uv - mu * mv) + s->c2)) /
                ((mu * mu + mv * mv + s->c1) * (s->norm * (uu + vv - mu * mu - mv * mv) + s->c2));
        }
    return total / (double)(rows * columns);
}

static void ssim(void) {
    for (int at_end = 0; at_end < 2; at_end++)
        for (size_t w = 3; w <= 37; w += 1 + w / 12) {
            const size_t h = 5, size = h * w;
            ek_guard x = ek_guarded(size * sizeof(double), at_end),
                     y = ek_guarded(size * sizeof(double), at_end),
                     weight = ek_guarded(3 * sizeof(double), at_end),
                     out = ek_guarded(sizeof(double), at_end);
            float noise[2][5 * 64];
            ek_noise(noise[0], size, 1);
            ek_noise(noise[1], size, 2);
            for (size_t i = 0; i < size; i++)
                ((double *)x.p)[i] = noise[0][i], ((double *)y.p)[i] = noise[1][i];
            for (size_t i = 0; i < 3; i++) ((double *)weight.p)[i] = 1.0 / 3.0;
            const ek_metric_ssim s = {weight.p, 3, h, w, 9.0 / 8.0, 1e-4, 9e-4};
            for (size_t set = 0; set < MOST_SETS; set++) {
                if (!usable(set)) continue;
                CHECK_STATUS(ek_metric_ssim_f64(&s, x.p, y.p, 1, out.p), EK_OK);
                CHECK_CLOSE(*(double *)out.p, by_definition(&s, x.p, y.p), 1e-12);
                CHECK_STATUS(ek_metric_ssim_f64(&s, x.p, x.p, 1, out.p), EK_OK);
                CHECK_CLOSE(*(double *)out.p, 1.0, 1e-12);
            }
            ek_cpu_use(~0u);
            ek_unguard(&x), ek_unguard(&y), ek_unguard(&weight), ek_unguard(&out);
        }
}

static void classes(void) {
    for (int at_end = 0; at_end < 2; at_end++)
        for (size_t d = 1; d <= 140; d += d < 10 ? 1 : 63) {
            ek_guard x = ek_guarded(4 * d * sizeof(double), at_end),
                     member = ek_guarded(4 * sizeof(int64_t), at_end),
                     length = ek_guarded(4 * sizeof(double), at_end),
                     sums = ek_guarded(3 * d * sizeof(double), at_end);
            const int64_t where[] = {2, 0, 2, 1};
            memcpy(member.p, where, sizeof where);
            for (size_t i = 0; i < 4 * d; i++) ((double *)x.p)[i] = (double)(i % 5) + 1.0;
            CHECK_STATUS(ek_metric_class_sums(x.p, 4, d, member.p, 3, length.p, sums.p), EK_OK);
            const double *v = x.p, *l = length.p, *sum = sums.p;
            for (size_t j = 0; j < d; j++) {
                CHECK_CLOSE(sum[j], v[d + j] / l[1], 1e-14);
                CHECK_CLOSE(sum[2 * d + j], v[j] / l[0] + v[2 * d + j] / l[2], 1e-14);
            }
            ((int64_t *)member.p)[3] = 3;
            CHECK_STATUS(ek_metric_class_sums(x.p, 4, d, member.p, 3, length.p, sums.p), EK_EVALUE);
            ek_unguard(&x), ek_unguard(&member), ek_unguard(&length), ek_unguard(&sums);
        }
}

static void curves(void) {
    for (int at_end = 0; at_end < 2; at_end++)
        for (size_t n = 1; n <= 70; n += n < 20 ? 1 : 10) {
            const size_t m = n / 2 + 1;
            ek_guard p = ek_guarded(n * sizeof(float), at_end),
                     q = ek_guarded(m * sizeof(float), at_end);
            ek_noise(p.p, n, 1);
            ek_noise(q.p, m, 2);
            for (int plane = 0; plane < 2; plane++) {
                float want = NAN, got = NAN;
                ek_cpu_use(0);
                CHECK_STATUS(ek_metric_frechet_f32(p.p, n, n, q.p, m, m, 1, plane ? 0.5 : -1.0,
                                                   n + m, INFINITY, &want),
                             EK_OK);
                for (size_t set = 0; set < MOST_SETS; set++) {
                    if (!usable(set)) continue;
                    CHECK_STATUS(ek_metric_frechet_f32(p.p, n, n, q.p, m, m, 1, plane ? 0.5 : -1.0,
                                                       n + m, INFINITY, &got),
                                 EK_OK);
                    CHECK(got == want);
                }
                ek_cpu_use(~0u);
            }
            ek_unguard(&p), ek_unguard(&q);
        }
}

static void ranks(void) {
    for (int at_end = 0; at_end < 2; at_end++)
        for (size_t n = 1; n <= 90; n += n < 10 ? 1 : 16) {
            ek_guard y = ek_guarded(2 * n, at_end), s = ek_guarded(2 * n * sizeof(float), at_end),
                     order = ek_guarded(2 * n * sizeof(uint32_t), at_end),
                     area = ek_guarded(2 * sizeof(double), at_end);
            ek_noise(s.p, 2 * n, 9);
            for (size_t i = 0; i < 2 * n; i++) {
                ((uint8_t *)y.p)[i] = i % 3 == 0;
                ((float *)s.p)[i] = floorf(((float *)s.p)[i] * 4.0f);
            }
            CHECK_STATUS(ek_metric_order_f32(y.p, s.p, n, 2, order.p), EK_OK);
            CHECK_STATUS(ek_metric_auroc(order.p, n, 2, area.p), EK_OK);
            for (size_t c = 0; c < 2; c++) {
                double won = 0.0, pairs = 0.0;
                for (size_t i = 0; i < n; i++)
                    for (size_t j = 0; j < n; j++) {
                        if (!((uint8_t *)y.p)[2 * i + c] || ((uint8_t *)y.p)[2 * j + c]) continue;
                        const float a = ((float *)s.p)[2 * i + c], b = ((float *)s.p)[2 * j + c];
                        won += a > b ? 1.0 : a == b ? 0.5 : 0.0;
                        pairs += 1.0;
                    }
                CHECK_CLOSE(((double *)area.p)[c], pairs > 0.0 ? won / pairs : NAN, 1e-14);
            }
            ek_unguard(&y), ek_unguard(&s), ek_unguard(&order), ek_unguard(&area);
        }
}

TEST_MAIN({"coverage", coverage}, {"rows", rows}, {"ssim", ssim}, {"classes", classes},
          {"curves", curves}, {"ranks", ranks})
