"""Networks of the driving domain: the drivers' policy, the critic of scenes, a plain generator to compare with."""
