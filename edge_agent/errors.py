"""The errors of the agent: whose fault it is, and what to do next."""

from fleet_contract.errors import VedetteError


class AgentError(VedetteError):
    """Something that the agent cannot go on with."""

    code = "agent-error"


class ConfigWrong(AgentError):
    """The config file is missing, is not TOML, or says something that the agent does not know."""

    code = "config-wrong"


class StateLocked(AgentError):
    """Another agent runs on this state folder."""

    code = "state-locked"


class StateUnusable(AgentError):
    """The state folder cannot be read or written, or what it holds is damaged."""

    code = "state-unusable"


class NotJoined(AgentError):
    """The state folder holds no identity."""

    code = "not-joined"


class HubUnreachable(AgentError):
    """The hub does not answer: try again later."""

    code = "hub-unreachable"


class JoinRefused(AgentError):
    """The hub answered, and said no. `code` is the hub's."""

    code = "join-refused"


class SourceWrong(AgentError):
    """A source gives nothing that its model can take."""

    code = "source-wrong"


class OutputWrong(AgentError):
    """A model answered with what its manifest does not promise."""

    code = "output-wrong"
