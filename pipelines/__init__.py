"""How things are run: the command line, the stages in order, and the Prefect flow. Thin by intent."""
