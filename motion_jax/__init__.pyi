# What __init__.py gives when it is asked, for those who check types.
from motion_jax import events as events
from motion_jax.compare.options import CompareOptions as CompareOptions
from motion_jax.config import Config as Config
from motion_jax.config import load_config as load_config
from motion_jax.data.prepare_options import PrepareOptions as PrepareOptions
from motion_jax.errors import UserError as UserError
from motion_jax.evaluate.options import EvaluateOptions as EvaluateOptions
from motion_jax.events import Interrupted as Interrupted
from motion_jax.events import Stopped as Stopped
from motion_jax.events import StopToken as StopToken
from motion_jax.library import Performer as Performer
from motion_jax.library import compare as compare
from motion_jax.library import evaluate as evaluate
from motion_jax.library import load as load
from motion_jax.library import poses as poses
from motion_jax.library import prepare as prepare
from motion_jax.library import train as train
from motion_jax.library import transfer as transfer
from motion_jax.port.network import Network as Network
from motion_jax.port.network import load_network as load_network
from motion_jax.pose.options import PoseOptions as PoseOptions
from motion_jax.pose.track import PoseTrack as PoseTrack
from motion_jax.retrieval.options import RetrievalOptions as RetrievalOptions
from motion_jax.transfer.options import TransferOptions as TransferOptions

__version__: str
__all__: list[str]
