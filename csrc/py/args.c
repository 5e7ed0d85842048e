#include "ekpy.h"
#include <math.h>
#include <string.h>

int ekpy_bind(const ekpy_sig *sig, PyObject *const *args, Py_ssize_t nargs, PyObject *kw,
              PyObject **a) {
    Py_ssize_t count = 0;
    while (count < EKPY_MAX_ARGS && sig->args[count] != NULL) a[count++] = NULL;
    if (nargs > count) {
        PyErr_Format(PyExc_TypeError, "%s: takes at most %zd arguments, got %zd", sig->name, count,
                     nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) a[i] = args[i];
    const Py_ssize_t nkw = kw ? PyTuple_Size(kw) : 0;
    for (Py_ssize_t k = 0; k < nkw; k++) {
        PyObject *key = PyTuple_GetItem(kw, k);
        Py_ssize_t i = 0;
        while (i < count && PyUnicode_CompareWithASCIIString(key, sig->args[i]) != 0) i++;
        if (i == count) {
            PyErr_Format(PyExc_TypeError, "%s: unexpected argument '%U'", sig->name, key);
            return -1;
        }
        if (a[i] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s: argument '%s' given twice", sig->name, sig->args[i]);
            return -1;
        }
        a[i] = args[nargs + k];
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (a[i] == NULL && i < sig->required) {
            PyErr_Format(PyExc_TypeError, "%s: argument '%s' is missing", sig->name, sig->args[i]);
            return -1;
        }
        if (i >= sig->required && a[i] == Py_None) a[i] = NULL;
    }
    return 0;
}

static int wrong_type(const ekpy_sig *sig, PyObject *o, const char *arg, const char *wanted) {
    PyErr_Format(PyExc_TypeError, "%s: %s must be %s, got %R", sig->name, arg, wanted,
                 (PyObject *)Py_TYPE(o));
    return -1;
}

int ekpy_size(const ekpy_sig *sig, PyObject *o, const char *arg, size_t min, size_t *out) {
    if (o == NULL) return 0;
    if (PyBool_Check(o) || !PyIndex_Check(o)) return wrong_type(sig, o, arg, "an integer");
    const Py_ssize_t v = PyNumber_AsSsize_t(o, PyExc_OverflowError);
    if (v == -1 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
            PyErr_Clear();
            PyErr_Format(PyExc_ValueError, "%s: %s must be between %zu and %zd, got %S", sig->name,
                         arg, min, PY_SSIZE_T_MAX, o);
        }
        return -1;
    }
    if (v < 0 || (size_t)v < min) {
        PyErr_Format(PyExc_ValueError, "%s: %s must be at least %zu, got %zd", sig->name, arg, min,
                     v);
        return -1;
    }
    *out = (size_t)v;
    return 0;
}

int ekpy_double(const ekpy_sig *sig, PyObject *o, const char *arg, double *out) {
    if (o == NULL) return 0;
    if (PyBool_Check(o) || PyUnicode_Check(o)) return wrong_type(sig, o, arg, "a number");
    const double v = PyFloat_AsDouble(o);
    if (v == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        return wrong_type(sig, o, arg, "a number");
    }
    if (!isfinite(v)) {
        PyErr_Format(PyExc_ValueError, "%s: %s must be finite, got %R", sig->name, arg, o);
        return -1;
    }
    *out = v;
    return 0;
}

int ekpy_bool(const ekpy_sig *sig, PyObject *o, const char *arg, int *out) {
    if (o == NULL) return 0;
    if (!PyBool_Check(o)) return wrong_type(sig, o, arg, "True or False");
    *out = o == Py_True;
    return 0;
}

int ekpy_choice(const ekpy_sig *sig, PyObject *o, const char *arg, const char *const *names,
                int *out) {
    if (o == NULL) return 0;
    if (!PyUnicode_Check(o)) return wrong_type(sig, o, arg, "a string");
    char list[256] = "";
    for (int i = 0; names[i] != NULL; i++) {
        if (PyUnicode_CompareWithASCIIString(o, names[i]) == 0) {
            *out = i;
            return 0;
        }
        if (i) strncat(list, ", ", sizeof list - strlen(list) - 1);
        strncat(list, names[i], sizeof list - strlen(list) - 1);
    }
    PyErr_Format(PyExc_ValueError, "%s: %s must be one of %s; got %R", sig->name, arg, list, o);
    return -1;
}
