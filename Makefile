# The two commands of the README, and what a developer runs beside them.
