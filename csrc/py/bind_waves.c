/* Waves: onset, peak, offset; what they measure. */
#include "ekpy.h"
#include "ek_dsp.h"

/* x (n, lead, t); beats: ascending samples of all records, record i at start[i]..start[i + 1]. */
static PyObject *py_delineate(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kw) {
    static const ekpy_sig sig = {
        "delineate", {"x", "fs", "rpeaks", "start", "weights", "threads", NULL},
         5
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *peaks = NULL, *start = NULL, *w = NULL, *out = NULL;
    double fs = 0.0;
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_double(&sig, a[1], "fs", &fs) < 0) return NULL;
    if (ekpy_size(&sig, a[5], "threads", 0, &threads) < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], NPY_FLOAT, 3, 3, "x")) == NULL) goto done;
    if ((peaks = ekpy_samples(&sig, a[2], 1, "rpeaks")) == NULL) goto done;
    if ((start = ekpy_samples(&sig, a[3], 1, "start")) == NULL) goto done;
    if ((w = ekpy_in(&sig, a[4], NPY_FLOAT, 1, 1, "weights")) == NULL) goto done;
    const size_t n = ekpy_dims(x, 0, 1), lead = ekpy_dims(x, 1, 2), t = ekpy_dims(x, 2, 3);
    const int64_t *s = PyArray_DATA(start);
    int fits = ekpy_dims(start, 0, 1) == n + 1 && s[0] == 0 &&
               s[n] == (int64_t)ekpy_dims(peaks, 0, 1) &&
               ekpy_dims(w, 0, 1) == ek_dsp_delineate_weights();
    for (size_t i = 0; fits && i < n; i++) fits = s[i] <= s[i + 1];
    if (!fits) {
        ekpy_error("LayoutError",
                   "delineate: start must rise from 0 to the number of rpeaks in %zu steps, and "
                   "weights hold %zu numbers",
                   n, ek_dsp_delineate_weights());
        goto done;
    }
    const npy_intp shape[3] = {(npy_intp)s[n], (npy_intp)lead + 1, EK_DELINEATE_POINTS};
    if ((out = (PyArrayObject *)PyArray_SimpleNew(3, shape, NPY_INT64)) == NULL) goto done;
    EKPY_RUN(st, threads,
             ek_dsp_delineate_f32(PyArray_DATA(x), n, lead, t, fs, PyArray_DATA(peaks), s,
                                  PyArray_DATA(w), PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)w);
    Py_XDECREF((PyObject *)start);
    Py_XDECREF((PyObject *)peaks);
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

static PyObject *py_measure(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "measure", {"x", "fs", "points", "threads", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *points = NULL, *out = NULL;
    double fs = 0.0;
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_double(&sig, a[1], "fs", &fs) < 0) return NULL;
    if (ekpy_size(&sig, a[3], "threads", 0, &threads) < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], NPY_FLOAT, 2, 2, "x")) == NULL) goto done;
    if ((points = ekpy_samples(&sig, a[2], 3, "points")) == NULL) goto done;
    if (PyArray_DIM(points, 1) != PyArray_DIM(x, 0) + 1 ||
        PyArray_DIM(points, 2) != EK_DELINEATE_POINTS) {
        ekpy_error("LayoutError", "measure: points must have shape (beats, %zd, %d)",
                   (Py_ssize_t)PyArray_DIM(x, 0) + 1, (int)EK_DELINEATE_POINTS);
        goto done;
    }
    const npy_intp shape[3] = {PyArray_DIM(points, 0), PyArray_DIM(x, 0), EK_MEASURE_COUNT};
    if ((out = ekpy_out(&sig, NULL, NPY_DOUBLE, 3, shape, "out")) == NULL) goto done;
    EKPY_RUN(st, threads,
             ek_dsp_measure_f32(PyArray_DATA(x), ekpy_dims(x, 0, 1), ekpy_dims(x, 1, 2), fs,
                                PyArray_DATA(points), ekpy_dims(points, 0, 1), PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)points);
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

PyMethodDef ekpy_waves_methods[] = {
    EKPY_METHOD("delineate", py_delineate),
    EKPY_METHOD("measure", py_measure),
    {NULL, NULL, 0, NULL},
};
