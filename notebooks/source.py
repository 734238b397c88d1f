# %% [markdown] lang="en"
# # U-Net
#
# A U-Net says for every pixel of an image what it belongs to. This notebook cuts cars
# out of photographs: it draws the network, makes data, trains, scores, exports, and
# asks the exported files for a mask.
#
# Every cell calls the package `keras_unet`; nothing is written twice. It needs
# `pip install -r requirements.txt` and a few minutes on two CPU cores.

# %% [markdown] lang="es"
# # U-Net
#
# Una U-Net dice de cada píxel de una imagen a qué pertenece. Este cuaderno recorta
# coches de fotografías: dibuja la red, crea los datos, entrena, evalúa, exporta y pide
# una máscara a los archivos exportados.
#
# Cada celda llama al paquete `keras_unet`; nada está escrito dos veces. Necesita
# `pip install -r requirements.txt` y unos minutos en dos núcleos de CPU. Las figuras y
# los mensajes del paquete están en inglés.

# %% [markdown] lang="en"
# ## Settings
#
# The only cell to change. `CARVANA = "carvana"`, the name of a folder with Kaggle's
# `train/` and `train_masks/`, takes the real cars instead of drawn ones. All that is
# made goes to a new temporary folder.

# %% [markdown] lang="es"
# ## Ajustes
#
# La única celda que se cambia. `CARVANA = "carvana"`, el nombre de una carpeta con
# `train/` y `train_masks/` de Kaggle, toma los coches reales en vez de los dibujados.
# Todo lo que se crea va a una carpeta temporal nueva.

# %% tags=["parameters"]
CARVANA = None
CARS = 24
VIEWS = 8
OWN_SIZE = (320, 480)
IMAGE_SIZE = (160, 240)
FILTERS = 16
BATCH_SIZE = 4
EPOCHS = 6

# %%
import inspect
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
from IPython.display import Code, Image

folder = Path(tempfile.mkdtemp(prefix="keras_unet_"))
show = partial(Image, width=900)

# %% [markdown] lang="en"
# ## Why a U
#
# A network that names the object in an image shrinks the image step by step: it learns
# *what* is there and forgets *where*. A mask needs both.
#
# In 2015 Ronneberger, Fischer and Brox answered with a U ([arXiv
# 1505.04597](https://arxiv.org/abs/1505.04597)). It learned from 20 to 35 images a task
# and won that year's cell tracking challenge.
#
# * **Contracting path**, down the left side: two 3×3 convolutions, then 2×2 max
#   pooling. Each level sees twice as far and has twice the channels.
# * **Expanding path**, up the right side: a 2×2 up-convolution doubles the size again
#   and halves the channels.
# * **Skip connections**, across: what the left side knew at each size is put beside
#   what comes up from below. They bring back the edges.

# %% [markdown] lang="es"
# ## Por qué una U
#
# Una red que nombra el objeto de una imagen la encoge paso a paso: aprende *qué* hay y
# olvida *dónde*. Una máscara necesita las dos cosas.
#
# En 2015 Ronneberger, Fischer y Brox respondieron con una U ([arXiv
# 1505.04597](https://arxiv.org/abs/1505.04597)). Aprendió de 20 a 35 imágenes por tarea
# y ganó el concurso de seguimiento de células de aquel año.
#
# * **Camino de contracción**, bajando por la izquierda: dos convoluciones de 3×3 y
#   luego *max pooling* de 2×2. Cada nivel ve el doble de lejos y tiene el doble de
#   canales.
# * **Camino de expansión**, subiendo por la derecha: una convolución transpuesta de 2×2
#   dobla otra vez el tamaño y reduce los canales a la mitad.
# * **Conexiones directas** (*skip connections*), de lado a lado: lo que la izquierda
#   sabía en cada tamaño se pone junto a lo que sube desde abajo. Devuelven los bordes.

# %%
from keras_unet import UNetConfig, build_unet, network_figure

paper = build_unet(UNetConfig(channels=1, classes=2, padding="valid"))
network_figure(paper, (572, 572), folder / "paper.png")
show(filename=folder / "paper.png")

# %% [markdown] lang="en"
# ## The paper's numbers
#
# Its convolutions have no padding, so each one costs a border of one pixel: 572×572
# pixels go in and 388×388 come out.

# %% [markdown] lang="es"
# ## Los números del artículo
#
# Sus convoluciones no llevan relleno, así que cada una cuesta un borde de un píxel:
# entran 572×572 píxeles y salen 388×388.

# %%
print(paper.compute_output_shape((1, 572, 572, 1)))
print(f"{paper.count_params():,} parameters")

# %% [markdown] lang="en"
# ## The same U as code
#
# The first loop goes down the left side, the second one up the right side. `skips`
# holds what goes across.

# %% [markdown] lang="es"
# ## La misma U en código
#
# El primer bucle baja por la izquierda, el segundo sube por la derecha. `skips` guarda
# lo que pasa de lado a lado.

# %%
from keras_unet import unet_logits

Code(inspect.getsource(unet_logits), language="python")

# %% [markdown] lang="en"
# ## The data
#
# Kaggle's [Carvana set](https://www.kaggle.com/c/carvana-image-masking-challenge) has
# 5,088 photographs of 318 cars, 16 views each on a turntable, with masks cut out by
# hand.
#
# It may not be passed on, so this notebook draws its own cars, in the same layout of
# files: `train/<car>_<view>.jpg` and `train_masks/<car>_<view>_mask.gif`.

# %% [markdown] lang="es"
# ## Los datos
#
# El [conjunto Carvana](https://www.kaggle.com/c/carvana-image-masking-challenge) de
# Kaggle tiene 5,088 fotografías de 318 coches, 16 vistas de cada uno en una plataforma
# giratoria, con máscaras recortadas a mano.
#
# No se puede redistribuir, así que este cuaderno dibuja sus propios coches, con los
# mismos nombres de archivo: `train/<coche>_<vista>.jpg` y
# `train_masks/<coche>_<vista>_mask.gif`.

# %%
from keras_unet import make_demo

if CARVANA:
    cars = Path(CARVANA)
else:
    cars = make_demo(folder / "cars", cars=CARS, views=VIEWS, size=OWN_SIZE)
sorted(path.name for path in (cars / "train").iterdir())[:3]

# %% [markdown] lang="en"
# ## One config holds every choice
#
# It is the preset `demo` with the settings from above. `prepare` looks at every image
# and finds out what the masks' values mean; the pairs are split by car, so that no car
# is in two parts.

# %% [markdown] lang="es"
# ## Una configuración con todas las decisiones
#
# Es la receta `demo` con los ajustes de arriba. `prepare` mira todas las imágenes y
# averigua qué significan los valores de las máscaras; los pares se reparten por coche,
# de modo que ningún coche está en dos partes.

# %%
from keras_unet import prepare, preset

demo = preset("demo")
config = replace(
    demo,
    output=folder / "run",
    overwrite=True,
    data=replace(demo.data, data=cars, image_size=IMAGE_SIZE),
    model=replace(demo.model, filters=FILTERS),
    fit=replace(demo.fit, epochs=EPOCHS, batch_size=BATCH_SIZE),
)
prepared = prepare(config.data)
print(*prepared.notes, sep="\n")
config, split = replace(config, data=prepared.data), prepared.split()
{part: len(pairs) for part, pairs in vars(split).items()}

# %% [markdown] lang="en"
# ## Masks
#
# A mask is 1 where the car is and 0 elsewhere. Windows belong to the car, though the
# wall shows through them; its shadow does not.

# %% [markdown] lang="es"
# ## Máscaras
#
# Una máscara vale 1 donde está el coche y 0 en lo demás. Las ventanillas son parte del
# coche, aunque se vea la pared a través de ellas; su sombra, no.

# %%
from keras_unet import draw_augmentation, draw_data

draw_data(split.train, config, folder / "data.png")
show(filename=folder / "data.png")

# %% [markdown] lang="en"
# ## Augmentation
#
# The authors had few images, so they made more: turned, shifted and bent at random, the
# mask along with its image. Cars need less than cells do: ours are mirrored, and their
# light changes. (The grid is only drawn here, to show what moves.)

# %% [markdown] lang="es"
# ## Aumento de datos
#
# Los autores tenían pocas imágenes, así que hicieron más: giradas, desplazadas y
# deformadas al azar, cada máscara junto con su imagen. Los coches necesitan menos que
# las células: los nuestros se reflejan y les cambia la luz. (La cuadrícula solo se
# dibuja aquí, para que se vea qué se mueve.)

# %%
draw_augmentation(split.train[1], config, folder / "augmentation.png")
show(filename=folder / "augmentation.png")

# %% [markdown] lang="en"
# The recipe for the paper's cells, on a car:

# %% [markdown] lang="es"
# La receta para las células del artículo, en un coche:

# %%
cells = replace(config, augment=preset("isbi").augment)
draw_augmentation(split.train[1], cells, folder / "augmentation_cells.png")
show(filename=folder / "augmentation_cells.png")

# %% [markdown] lang="en"
# ## The pipeline
#
# `tf.data` reads, resizes, mirrors and recolours images while the network computes.
# Seeds are counted, not drawn: batch *k* is the same in every run of one config.
# Batches stay at 8 bits, a quarter of what floats would take; the network makes floats
# of them.

# %% [markdown] lang="es"
# ## La entrada de datos
#
# `tf.data` lee, redimensiona, refleja y recolorea las imágenes mientras la red calcula.
# Las semillas se cuentan, no se sortean: el lote *k* es el mismo en cada ejecución de
# una misma configuración. Los lotes se quedan en 8 bits, un cuarto de lo que ocuparían
# en coma flotante; es la red quien los convierte.

# %%
from keras_unet import training_batches

batches = training_batches(split.train, config)
batches.element_spec

# %% [markdown] lang="en"
# Files are read and decoded in the first epoch only; after that they come from memory,
# and only the augmentation is done anew:

# %% [markdown] lang="es"
# Los archivos solo se leen y decodifican en la primera época; después vienen de la
# memoria y lo único que se hace de nuevo es el aumento:

# %%
twice = replace(config, fit=replace(config.fit, epochs=2))
source = iter(training_batches(split.train, twice))
epoch = len(split.train) // BATCH_SIZE
for number in (1, 2):
    begin = time.perf_counter()
    for _ in range(epoch):
        images, masks = next(source)
    seconds = time.perf_counter() - begin
    print(f"epoch {number}: {epoch * BATCH_SIZE / seconds:.0f} images/s")

# %% [markdown] lang="en"
# The last of these batches, as the network is given it, with the masks laid over it:

# %% [markdown] lang="es"
# El último de esos lotes, tal como lo recibe la red, con las máscaras encima:

# %%
from keras_unet import paint_mask

pairs = zip(images.numpy(), masks.numpy()[..., 0], strict=True)
PIL.Image.fromarray(np.hstack([paint_mask(image, mask) for image, mask in pairs]))

# %% [markdown] lang="en"
# ## Mixed precision
#
# Half the bits take half the memory and, where the device has units for them, less
# time. `--precision auto` asks the device: float16 on GPUs with tensor cores, bfloat16
# on CPUs that compute in it, otherwise float32.

# %% [markdown] lang="es"
# ## Precisión mixta
#
# La mitad de bits ocupa la mitad de memoria y, si el dispositivo tiene unidades para
# ellos, tarda menos. `--precision auto` pregunta al dispositivo: float16 en las GPU con
# *tensor cores*, bfloat16 en las CPU que calculan en ese formato y, si no, float32.

# %%
from keras_unet import build_network, use_device

device = use_device(config.fit)
print(f"{device.name}: {device.precision}, because {device.precision_reason}")

# %% [markdown] lang="en"
# *Mixed*, because some things must not be rounded so coarsely. A training step changes
# a weight by a thousandth or less, which bfloat16 cannot add to 1:

# %% [markdown] lang="es"
# *Mixta*, porque hay cosas que no se deben redondear tanto. Un paso de entrenamiento
# cambia un peso en una milésima o menos, y bfloat16 no puede sumar eso a 1:

# %%
import tensorflow as tf

kinds = (tf.float32, tf.float16, tf.bfloat16)
{kind.name: float(tf.cast(1.001, kind)) for kind in kinds}

# %% [markdown] lang="en"
# So the weights are kept in float32, and so are the logits, from which the loss is
# made. With float16, whose smallest numbers are not small enough for gradients, Keras
# also multiplies the loss before the gradients and divides them by as much afterwards.

# %% [markdown] lang="es"
# Por eso los pesos se guardan en float32, y también los *logits*, de los que sale la
# pérdida. Con float16, cuyos números más pequeños no bastan para los gradientes, Keras
# además multiplica la pérdida antes de calcularlos y luego los divide por lo mismo.

# %%
network = build_network(config.model)
for name in ("down0_conv1", "logits"):
    layer = network.get_layer(name)
    print(f"{name:12} computes in {layer.compute_dtype}, keeps {layer.variable_dtype}")

# %% [markdown] lang="en"
# ## The network of this run
#
# Fewer channels, because cars are easy and CPUs are slow. Its convolutions pad, so the
# mask is as large as the image.

# %% [markdown] lang="es"
# ## La red de este entrenamiento
#
# Menos canales, porque los coches son fáciles y las CPU, lentas. Sus convoluciones
# llevan relleno, así que la máscara es tan grande como la imagen.

# %%
network_figure(network, IMAGE_SIZE, folder / "network.png")
show(filename=folder / "network.png")

# %% [markdown] lang="en"
# ## Training
#
# `run` is what `python -m keras_unet.train` calls. It trains, scores, draws and
# exports, and returns the folder that holds it all.
#
# The loss is cross-entropy plus 1 − Dice. Dice is twice the overlap of two masks over
# the sum of their sizes: 1 is perfect. The weights with the best validation Dice are
# kept.

# %% [markdown] lang="es"
# ## Entrenamiento
#
# `run` es lo que llama `python -m keras_unet.train`. Entrena, evalúa, dibuja y exporta,
# y devuelve la carpeta que lo contiene todo.
#
# La pérdida es la entropía cruzada más 1 − Dice. Dice es el doble de lo que dos
# máscaras comparten entre la suma de sus tamaños: 1 es perfecto. Se guardan los pesos
# con el mejor Dice de validación.

# %%
from keras_unet.train import run

finished = run(config)

# %% [markdown] lang="en"
# Validation lags in the first epoch, because the running averages of batch
# normalisation, which only validation uses, have barely begun.

# %% [markdown] lang="es"
# La validación va por detrás en la primera época, porque las medias móviles de la
# normalización por lotes, que solo usa la validación, apenas han empezado.

# %%
show(filename=finished.figures / "training.png")

# %% [markdown] lang="en"
# ## Evaluation
#
# The test cars were seen neither in training nor when the weights were chosen. They are
# scored at the images' own size.

# %% [markdown] lang="es"
# ## Evaluación
#
# Los coches de prueba no se vieron ni al entrenar ni al elegir los pesos. Se evalúan al
# tamaño propio de las imágenes.

# %%
scores = json.loads(finished.metrics_file.read_text())["test"]
{name: scores[name] for name in ("dice", "iou", "precision", "recall", "boundary_iou")}

# %%
show(filename=finished.figures / "evaluation.png")

# %% [markdown] lang="en"
# From the worst test image to the best: look at what is wrong, not only at the score.

# %% [markdown] lang="es"
# De la peor imagen de prueba a la mejor: hay que mirar qué está mal, no solo la nota.

# %%
show(filename=finished.figures / "predictions.png")

# %% [markdown] lang="en"
# ## Export
#
# The run has exported itself: a SavedModel for servers and TFLite files for phones. A
# fresh Python opened each file and compared it with the Keras network, image by image;
# a file that differs is an error.

# %% [markdown] lang="es"
# ## Exportación
#
# El entrenamiento ya se ha exportado: un SavedModel para servidores y archivos TFLite
# para teléfonos. Un Python nuevo abrió cada archivo y lo comparó con la red de Keras,
# imagen por imagen; un archivo que difiere es un error.

# %%
report = json.loads(finished.export_report.read_text())["artefacts"]
for found in report.values():
    place = found.get("path", finished.weights_file.name)
    print(f"{place:28} Dice {found['dice']:.4f}, off by {found['max_difference']:.6f}")

# %% [markdown] lang="en"
# ## A prediction by the SavedModel
#
# It needs none of our code, only TensorFlow: the bytes of an image go in, the bytes of
# a PNG mask of the same size come out.

# %% [markdown] lang="es"
# ## Una predicción del SavedModel
#
# No necesita nada de nuestro código, solo TensorFlow: entran los bytes de una imagen y
# salen los bytes de una máscara PNG del mismo tamaño.

# %%
file = split.test[1].image
exported = tf.saved_model.load(str(finished.saved_model / "1"))
serve = exported.signatures["serving_default"]
served = serve(image_bytes=tf.constant([file.read_bytes()]))
mask_png = served["mask_png_bytes"][0].numpy()
Image(data=mask_png)

# %% [markdown] lang="en"
# ## The same by a phone's file
#
# The TFLite file holds the bare network: floats of one size go in, probabilities come
# out. What an app does around it stands in `client.py` beside the file, which needs
# NumPy, Pillow and a TFLite runtime.

# %% [markdown] lang="es"
# ## Lo mismo con el archivo de un teléfono
#
# El archivo TFLite contiene solo la red: entran números de un tamaño fijo y salen
# probabilidades. Lo que una aplicación hace alrededor está en `client.py`, junto al
# archivo, que necesita NumPy, Pillow y un motor de TFLite.

# %%
client, lite = finished.tflite / "client.py", finished.tflite / "model_float32.tflite"
words = [sys.executable, client, lite, file, folder / "phone.png"]
subprocess.run(words, check=True, capture_output=True)

image = np.asarray(PIL.Image.open(file))
server = tf.io.decode_png(mask_png).numpy()[..., 0] // 255
phone = np.asarray(PIL.Image.open(folder / "phone.png")) // 255
print(f"{np.mean(server == phone):.4%} of the pixels are the same")

# %%
panels = {"SavedModel": server, "TFLite": phone, "≠": server != phone}
figure, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained")
for axis, (title, mask) in zip(axes, panels.items(), strict=True):
    axis.imshow(paint_mask(image, mask.astype(np.uint8)))
    axis.set_title(title)
    axis.axis("off")

# %% [markdown] lang="en"
# ## The real cars
#
# `CARVANA = "carvana"` in the settings and *Run all* is this notebook on Kaggle's cars.
# There are 5,088 images of 1918×1280, so it takes its time; `EPOCHS = 1` shows the way.
# From a terminal, with the recipe made for them:
#
# ```
# python -m keras_unet.data download carvana carvana
# python -m keras_unet.train --preset carvana --data carvana
# python -m keras_unet.predict exports/carvana IMAGES --output masks --overlay
# ```
#
# The first line needs a Kaggle account that has accepted the set's rules. Images of
# anything else go into `images/` and their masks into `masks/` of one folder:
# `python -m keras_unet.train --data FOLDER`.

# %% [markdown] lang="es"
# ## Los coches reales
#
# `CARVANA = "carvana"` en los ajustes y *Ejecutar todo* es este cuaderno con los coches
# de Kaggle. Son 5,088 imágenes de 1918×1280, así que lleva su tiempo; con `EPOCHS = 1`
# se ve el camino. Desde una terminal, con la receta hecha para ellos:
#
# ```
# python -m keras_unet.data download carvana carvana
# python -m keras_unet.train --preset carvana --data carvana
# python -m keras_unet.predict exports/carvana IMAGES --output masks --overlay
# ```
#
# La primera línea necesita una cuenta de Kaggle que haya aceptado las reglas del
# conjunto. Las imágenes de cualquier otra cosa van en `images/` y sus máscaras en
# `masks/` de una misma carpeta: `python -m keras_unet.train --data FOLDER`.
