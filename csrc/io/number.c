/* Decimal text to double. Most numbers take the exact route (a mantissa below 2^53 and a power of
 * ten up to 22 are both exact in double, so one operation rounds once); the rest go to strtod in
 * the "C" locale. */
#include "ek_io.h"
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NUMBER = 64 };

static double slow(const uint8_t *text, size_t bytes) {
    char copy[MAX_NUMBER + 1];
    memcpy(copy, text, bytes);
    copy[bytes] = 0;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c == (locale_t)0) return NAN;
    const double v = strtod_l(copy, NULL, c);
    freelocale(c);
    return v;
}

static int digit(const uint8_t *p, size_t i, size_t n) {
    return i < n && p[i] >= '0' && p[i] <= '9';
}

size_t ek_io_number(const uint8_t *p, size_t n, double *value) {
    static const double TEN[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                 1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    size_t i = 0, digits = 0;
    uint64_t mantissa = 0;
    int scale = 0, exponent = 0, long_mantissa = 0;
    if (n > MAX_NUMBER) n = MAX_NUMBER;
    const int negative = n && p[0] == '-';
    if (n && (p[0] == '-' || p[0] == '+')) i++;
    for (int fraction = 0; i < n; i++) {
        if (digit(p, i, n)) {
            if (mantissa > (1ull << 53) / 10 - 1)
                long_mantissa = 1;
            else
                mantissa = mantissa * 10 + (uint64_t)(p[i] - '0');
            digits++;
            scale -= fraction;
        } else if (p[i] == '.' && !fraction) {
            fraction = 1;
        } else {
            break;
        }
    }
    if (digits == 0) return 0;
    if (i < n && (p[i] == 'e' || p[i] == 'E')) {
        size_t k = i + 1;
        const int down = k < n && p[k] == '-';
        if (k < n && (p[k] == '-' || p[k] == '+')) k++;
        if (digit(p, k, n)) {
            for (; digit(p, k, n); k++)
                if (exponent < 10000) exponent = exponent * 10 + (p[k] - '0');
            exponent = down ? -exponent : exponent;
            i = k;
        }
    }
    if (i == MAX_NUMBER) return 0; /* longer than any number that a file needs */
    exponent += scale;
    double v = (double)mantissa;
    if (long_mantissa || exponent < -22 || exponent > 22) {
        v = slow(p, i);
        if (!isfinite(v) || (v == 0 && (mantissa != 0 || long_mantissa))) return 0;
        *value = v;
        return i;
    }
    v = exponent < 0 ? v / TEN[-exponent] : v * TEN[exponent];
    *value = negative ? -v : v;
    return i;
}
