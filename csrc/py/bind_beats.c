/* Beats and signal quality. */
#include "ekpy.h"
#include "ek_dsp.h"
#include <string.h>

static PyObject *py_rpeaks(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "rpeaks", {"x", "fs", "threads", "constants", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *room = NULL, *constants = NULL, *out = NULL;
    double fs = 0.0;
    size_t threads = 0, count = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_double(&sig, a[1], "fs", &fs) < 0) return NULL;
    if (ekpy_size(&sig, a[2], "threads", 0, &threads) < 0) return NULL;
    if (!(fs >= EK_RPEAKS_FS_MIN && fs <= EK_RPEAKS_FS_MAX)) {
        ekpy_error("RateError", "rpeaks: fs must be between %d and %d Hz, got %R",
                   (int)EK_RPEAKS_FS_MIN, (int)EK_RPEAKS_FS_MAX, a[1]);
        return NULL;
    }
    if (a[3] != NULL) {
        if ((constants = ekpy_in(&sig, a[3], NPY_DOUBLE, 1, 1, "constants")) == NULL) goto done;
        if (ekpy_dims(constants, 0, 1) != ek_dsp_rpeaks_constants(NULL)) {
            ekpy_error("LayoutError", "rpeaks: constants must be %zu numbers, got %zu",
                       ek_dsp_rpeaks_constants(NULL), ekpy_dims(constants, 0, 1));
            goto done;
        }
    }
    if ((x = ekpy_in(&sig, a[0], NPY_FLOAT, 1, 2, "x")) == NULL) goto done;
    const int nd = PyArray_NDIM(x);
    const size_t lead = ekpy_dims(x, 0, nd - 1), t = ekpy_dims(x, nd - 1, nd);
    npy_intp most = (npy_intp)ek_dsp_rpeaks_room(t, fs);
    if ((room = (PyArrayObject *)PyArray_SimpleNew(1, &most, NPY_INT64)) == NULL) goto done;
    EKPY_RUN(st, threads,
             ek_dsp_rpeaks_f32(PyArray_DATA(x), lead, t, fs,
                               constants == NULL ? NULL : PyArray_DATA(constants),
                               PyArray_DATA(room), &count));
    if (st != EK_OK) {
        ekpy_raise(st, &sig);
        goto done;
    }
    npy_intp found = (npy_intp)count;
    if ((out = (PyArrayObject *)PyArray_SimpleNew(1, &found, NPY_INT64)) == NULL) goto done;
    memcpy(PyArray_DATA(out), PyArray_DATA(room), count * sizeof(int64_t));
done:
    Py_XDECREF((PyObject *)constants);
    Py_XDECREF((PyObject *)room);
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

static PyObject *py_quality(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "quality", {"x", "fs", "threads", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *out = NULL;
    double fs = 0.0;
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_double(&sig, a[1], "fs", &fs) < 0) return NULL;
    if (ekpy_size(&sig, a[2], "threads", 0, &threads) < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], NPY_FLOAT, 2, 2, "x")) == NULL) goto done;
    const npy_intp shape[2] = {PyArray_DIM(x, 0), EK_QUALITY_COUNT};
    if ((out = ekpy_out(&sig, NULL, NPY_DOUBLE, 2, shape, "out")) == NULL) goto done;
    EKPY_RUN(st, threads,
             ek_dsp_quality_f32(PyArray_DATA(x), ekpy_dims(x, 0, 1), ekpy_dims(x, 1, 2), fs,
                                PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

PyMethodDef ekpy_beats_methods[] = {
    EKPY_METHOD("rpeaks", py_rpeaks),
    EKPY_METHOD("quality", py_quality),
    {NULL, NULL, 0, NULL},
};
