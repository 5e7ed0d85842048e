/* ek_test.h: what the C tests share, without a framework.
 *   TEST_MAIN({"name", fn}, ...)   runs each test, exit status 1 if any CHECK failed
 *   CHECK(cond)  CHECK_STATUS(call, want)  CHECK_CLOSE(a, b, tolerance)
 *   ek_guarded / ek_guarded_f32   memory between two PROT_NONE pages: one byte too far faults
 *   ek_noise                      reproducible floats in -1..1
 * A file named test_<what>.c is one program and one ctest; it is found by its name. */
#ifndef EK_TEST_H
#define EK_TEST_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "ek_core.h"

static int ek_failures;

#define CHECK(cond) ((cond) ? (void)0 : ek_fail_(__FILE__, __LINE__, #cond))
#define CHECK_STATUS(call, want)                                                                   \
    do {                                                                                           \
        const ek_status st_ = (call);                                                              \
        if (st_ != (want)) {                                                                       \
            fprintf(stderr, "  got '%s', wanted '%s'\n", ek_strstatus(st_), ek_strstatus(want));   \
            ek_fail_(__FILE__, __LINE__, #call);                                                   \
        }                                                                                          \
    } while (0)
#define CHECK_CLOSE(a, b, tolerance)                                                               \
    do {                                                                                           \
        const double a_ = (a), b_ = (b);                                                           \
        if (!(fabs(a_ - b_) <= (tolerance)) && !(isnan(a_) && isnan(b_))) {                        \
            fprintf(stderr, "  %.9g against %.9g\n", a_, b_);                                      \
            ek_fail_(__FILE__, __LINE__, #a " ~ " #b);                                             \
        }                                                                                          \
    } while (0)

__attribute__((unused)) static void ek_fail_(const char *file, int line, const char *what) {
    if (++ek_failures <= 20) fprintf(stderr, "%s:%d: %s\n", file, line, what);
}

typedef struct {
    const char *name;
    void (*run)(void);
} ek_test;

#define TEST_MAIN(...)                                                                             \
    int main(void) {                                                                               \
        static const ek_test tests[] = {__VA_ARGS__};                                              \
        for (size_t i_ = 0; i_ < sizeof tests / sizeof *tests; i_++) {                             \
            const int before_ = ek_failures;                                                       \
            tests[i_].run();                                                                       \
            printf("%s %s\n", ek_failures == before_ ? "ok    " : "FAILED", tests[i_].name);       \
        }                                                                                          \
        return ek_failures != 0;                                                                   \
    }

/* Memory that ends at a page nobody may touch (at_end), or starts right after one. */
typedef struct {
    unsigned char *map;
    size_t mapped;
    void *p;
} ek_guard;

__attribute__((unused)) static ek_guard ek_guarded(size_t bytes, int at_end) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (bytes / page + 1) * page;
    ek_guard g = {.mapped = body + 2 * page};
    g.map = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map, page, PROT_NONE) != 0 ||
        mprotect(g.map + page + body, page, PROT_NONE) != 0)
        abort();
    memset(g.map + page, 0xff, body); /* a NaN pattern: what is not written shows */
    g.p = at_end ? g.map + page + body - bytes : g.map + page;
    return g;
}

__attribute__((unused)) static void ek_unguard(ek_guard *g) {
    munmap(g->map, g->mapped);
}

__attribute__((unused)) static void ek_noise(float *x, size_t n, uint32_t seed) {
    uint32_t s = seed * 2654435761u + 1u;
    for (size_t i = 0; i < n; i++) {
        s ^= s << 13, s ^= s >> 17, s ^= s << 5;
        x[i] = (float)((double)s / 2147483648.0 - 1.0);
    }
}

#endif
