"""Tables under a privacy budget: marginals are measured once with noise, and everything after reads only those."""
